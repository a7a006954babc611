"""From the name and options of a family to a flow.

Recipes, checkpoints, export and the law tests all build flows here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.bijection import Bijection, Compose, Shape
from models.columns import TypedColumns
from models.context import ContextFeatures
from models.distributions import BASES, Base
from models.families import FAMILIES, TYPED_FAMILIES, with_current_names
from models.flow import Flow
from models.layers import PREPROCESSING

__all__ = [
    "BASES",
    "FAMILIES",
    "PREPROCESSING",
    "TYPED_FAMILIES",
    "build",
    "build_tabular",
    "check_base",
    "fixed_layer",
]


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
            are turned into that vector.
        preprocessing: fixed first layers, each {"kind": a key of `PREPROCESSING`, …its arguments}.
        options: fields of the family's class, whose defaults stand for those left out.

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
        family_class = FAMILIES[family]
        current = with_current_names(options or {}, family_class.former_names)
        family_options = family_class(**current)
        fixed = [fixed_layer(event, **step) for step in preprocessing]
    except TypeError as error:  # an unknown argument, or a missing one
        raise ValueError(f"{family}: {error}") from None
    if features is not None:
        shape = (features.size,)
    bijection = Compose([*fixed, *family_options.layers(event, shape)])
    return Flow(
        _base(family_options.base, family_options.base_options, bijection.latent_shape),
        bijection,
        features,
    )


def build_tabular(
    columns: Sequence[Mapping[str, Any]],
    rows: int,
    *,
    family: str = "tabular",
    context_shape: Sequence[int] | None = None,
    context: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> TypedColumns:
    """Build a density over typed columns, which starts as the product of their marginals.

    Args:
        columns: descriptions of the columns, with the numbers fitted to the training rows: fields
            of `columns.NumberColumn` or `columns.CategoricalColumn`.
        rows: number of training rows.
        family: a key of `TYPED_FAMILIES`.
        context_shape, context: as for `build`.
        options: fields of the family's class, whose defaults stand for those left out.

    Raises:
        ValueError: an unknown family, option or field, or a value that makes no density.
    """
    if family not in TYPED_FAMILIES:
        known = ", ".join(TYPED_FAMILIES)
        raise ValueError(f"unknown family {family!r} of typed columns: {known}")
    if context is not None and context_shape is not None:
        raise ValueError("give context or context_shape, not both")
    shape = None if context_shape is None else tuple(context_shape)
    try:
        features = None if context is None else ContextFeatures(**context)
        family_options = TYPED_FAMILIES[family](**(options or {}))
    except TypeError as error:  # an unknown argument, or a missing one
        raise ValueError(f"{family}: {error}") from None
    return family_options.density(columns, rows, features, shape)


def check_base(name: str, options: Mapping[str, Any]) -> None:
    """Check the name and the arguments of a base distribution.

    Raises:
        ValueError: no such base, or arguments that make none.
    """
    with torch.random.fork_rng(devices=[]):  # a mixture starts with random means
        _base(name, options, (1,))


def _base(name: str, options: Mapping[str, Any], latent_shape: Shape) -> Base:
    """Build a base distribution."""
    if name not in BASES:
        raise ValueError(f"unknown base {name!r}: one of {', '.join(BASES)}")
    try:
        return BASES[name](latent_shape, **options)
    except TypeError as error:
        raise ValueError(f"base_options of {name}: {error}") from None


def fixed_layer(event_shape: Sequence[int], kind: str, **arguments: Any) -> Bijection:
    """Build one step of a flow's `preprocessing`.

    Raises:
        ValueError: an unknown kind, or values that make no layer.
    """
    if kind not in PREPROCESSING:
        raise ValueError(f"unknown preprocessing {kind!r}: one of {', '.join(PREPROCESSING)}")
    return PREPROCESSING[kind](event_shape, **arguments)
