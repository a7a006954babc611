"""The law table: one line for each flow and layer that the laws are checked on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from models import zoo
from models.autoregressive import MaskedAutoregressive
from models.bijection import Bijection, Compose, Inverted
from models.coupling import Coupling
from models.elementwise import Additive, Affine
from models.flow import Flow
from models.linear import Permutation, Rescale
from models.networks import Conditioner
from models.preprocessing import Logit, SoftLogit, Standardize

SMALL = {"transforms": 3, "hidden": (24, 16)}
LOGIT = [
    {"kind": "logit", "low": -0.5, "high": 16.5},
    {"kind": "standardize", "mean": 0.3, "scale": 2.0},
]
SCALED = [{"kind": "standardize", "mean": [0.5, -1, 2, 0, 3], "scale": [1, 2, 0.5, 3, 1]}]
SOFT = [{"kind": "soft-logit", "low": -3, "high": [16.5, 3, 3, 4, 5], "margin": 0.01}]
NET = Conditioner((24, 16), "tanh")

FLOWS: dict[str, Callable[[], Flow]] = {
    "nice": lambda: zoo.build("nice", (5,), options=SMALL),
    "nice logit": lambda: zoo.build("nice", (5,), preprocessing=LOGIT, options=SMALL),
    "realnvp": lambda: zoo.build("realnvp", (5,), options=SMALL),
    "realnvp 1-D": lambda: zoo.build("realnvp", (1,), options=SMALL),
    "realnvp context": lambda: zoo.build("realnvp", (4,), context_shape=(3,), options=SMALL),
    "maf": lambda: zoo.build("maf", (5,), preprocessing=SCALED, options=SMALL),
    "maf 1-D": lambda: zoo.build("maf", (1,), options=SMALL),
    "maf 2-D": lambda: zoo.build("maf", (2,), options=SMALL),
    "maf logit": lambda: zoo.build("maf", (5,), preprocessing=LOGIT, options=SMALL),
    "maf soft-logit": lambda: zoo.build("maf", (5,), preprocessing=SOFT, options=SMALL),
    "maf image": lambda: zoo.build("maf", (2, 3), options=SMALL),
    "maf context": lambda: zoo.build("maf", (4,), context_shape=(3,), options=SMALL),
    "maf gelu": lambda: zoo.build("maf", (5,), options=SMALL | {"activation": "gelu"}),
    "iaf": lambda: zoo.build("iaf", (5,), options=SMALL),
    "iaf context": lambda: zoo.build("iaf", (4,), context_shape=(3,), options=SMALL),
}

LAYERS: dict[str, Callable[[], Bijection]] = {
    "permutation": lambda: Permutation((5,), [3, 0, 4, 1, 2]),
    "rescale": lambda: Rescale((5,)),
    "standardize": lambda: Standardize((5,), [0, 1, 2, 3, 4], [1, 2, 3, 4, 5]),
    "logit": lambda: Logit((5,), [-0.5, 0, 1, 2, 3], 16.5),
    "soft-logit": lambda: SoftLogit((5,), -0.5, [0.5, 0, 1, 2, 3], 0.05),
    "coupling additive": lambda: Coupling((5,), Additive(), [0, 3], NET),
    "coupling affine": lambda: Coupling((5,), Affine(), [1, 2, 4], NET),
    "maf layer": lambda: MaskedAutoregressive((5,), Affine(), [2, 0, 4, 1, 3], NET),
    "nice-map autoregressive": lambda: MaskedAutoregressive((5,), Additive(), [0, 1, 2, 3, 4], NET),
    "inverted": lambda: Inverted(Coupling((5,), Affine(), [0, 1], NET)),
    "composed": lambda: Compose([Logit((5,), 0, 1), Permutation((5,), [4, 3, 2, 1, 0])]),
}


@dataclass(frozen=True)
class Case:
    """A bijection with random parameters and rows that it accepts."""

    bijection: Bijection
    x: torch.Tensor
    context: torch.Tensor | None


def randomise(module: nn.Module, scale: float) -> None:
    """Move parameters away from the identity that every flow starts as."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))


def case(name: str, dtype: torch.dtype, rows: int = 6, scale: float = 0.15) -> Case:
    """A flow's or layer's bijection with rows inside its support.

    Args:
        scale: how far its parameters are moved away from the identity.
    """
    torch.manual_seed(0)
    bijection = LAYERS[name]() if name in LAYERS else FLOWS[name]().bijection
    randomise(bijection, scale)
    generator = torch.Generator().manual_seed(7)
    support = bijection.support
    if support is None:
        x = torch.randn(rows, *bijection.event_shape, generator=generator)
    else:
        low, high = support
        x = low + (high - low) * torch.rand(rows, *bijection.event_shape, generator=generator)
    shape = bijection.context_shape
    context = None if shape is None else torch.randn(rows, *shape, generator=generator).to(dtype)
    return Case(bijection.to(dtype).eval(), x.to(dtype), context)
