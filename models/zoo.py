"""The one registry: a family's name and options → a flow.

Recipes, checkpoints, export and the law tests all build flows here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from models.bijection import Bijection, Compose, Shape
from models.context import ContextFeatures
from models.distributions import BASES, Base
from models.families import (
    Family,
    Gaussianization,
    Glow,
    Iaf,
    IterativelyGaussianized,
    Maf,
    MafLogistic,
    MafMog,
    MintNet,
    Nice,
    Nsf,
    NsfAutoregressive,
    ParallelWaveNet,
    PlanarFlow,
    RadialFlow,
    RealNVP,
    SylvesterFlow,
    WaveNet,
)
from models.flow import Flow
from models.layers import PREPROCESSING

__all__ = ["BASES", "FAMILIES", "PREPROCESSING", "build", "fixed_layer"]

FAMILIES: dict[str, type[Family]] = {
    "nice": Nice,
    "realnvp": RealNVP,
    "glow": Glow,
    "nsf": Nsf,
    "maf": Maf,
    "maf-mog": MafMog,
    "maf-logistic": MafLogistic,
    "nsf-ar": NsfAutoregressive,
    "iaf": Iaf,
    "wavenet": WaveNet,
    "parallel-wavenet": ParallelWaveNet,
    "mintnet": MintNet,
    "planar": PlanarFlow,
    "radial": RadialFlow,
    "sylvester": SylvesterFlow,
    "gaussianization": Gaussianization,
    "iterative-gaussianization": IterativelyGaussianized,
}


def build(
    family: str,
    event_shape: Sequence[int],
    *,
    context_shape: Sequence[int] | None = None,
    context: Mapping[str, Any] | None = None,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> Flow:
    """Build a flow, freshly initialised, close to the identity after its preprocessing.

    Args:
        family: a key of `FAMILIES`.
        event_shape: shape of one data row.
        context_shape: shape of the conditioning vector of one row, or None.
        context: arguments of `ContextFeatures`, in place of `context_shape`, where raw columns
            are to be made into that vector.
        preprocessing: fixed first layers, each {"kind": a key of `PREPROCESSING`, …its arguments}.
        options: fields of the family's class; its defaults where left out.

    Raises:
        ValueError: an unknown family, preprocessing or option, or a value that makes no flow.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: the zoo has {', '.join(sorted(FAMILIES))}")
    event = tuple(event_shape)
    if context is not None and context_shape is not None:
        raise ValueError("give context or context_shape, not both")
    shape = None if context_shape is None else tuple(context_shape)
    try:
        features = None if context is None else ContextFeatures(**context)
        chosen = FAMILIES[family](**(options or {}))
        fixed = [fixed_layer(event, **step) for step in preprocessing]
    except TypeError as error:  # an argument that is not there, or one left out
        raise ValueError(f"{family}: {error}") from None
    if features is not None:
        shape = (features.size,)
    bijection = Compose([*fixed, *chosen.layers(event, shape)])
    return Flow(_base(chosen, bijection.latent_shape), bijection, features)


def _base(family: Family, latent_shape: Shape) -> Base:
    if family.base not in BASES:
        raise ValueError(f"unknown base {family.base!r}: one of {', '.join(BASES)}")
    try:
        return BASES[family.base](latent_shape, **family.base_options)
    except TypeError as error:
        raise ValueError(f"base {family.base}: {error}") from None


def fixed_layer(event_shape: Sequence[int], kind: str, **arguments: Any) -> Bijection:
    """Build one step of a flow's `preprocessing`.

    Raises:
        ValueError: an unknown kind, or values that make no layer.
    """
    if kind not in PREPROCESSING:
        raise ValueError(f"unknown preprocessing {kind!r}: one of {', '.join(PREPROCESSING)}")
    return PREPROCESSING[kind](event_shape, **arguments)
