"""The law table: one line for each flow and layer that the laws are checked on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from models import zoo
from models.autoregressive import MaskedAutoregressive
from models.bijection import Bijection, Compose, Inverted
from models.coupling import Coupling, ImageCoupling
from models.elementwise import Additive, Affine
from models.flow import Flow
from models.images import Partial, Squeeze, checkerboard, half_of_channels
from models.linear import ActNorm, Permutation, Rescale
from models.low_rank import Planar, Radial, Sylvester
from models.masked_convolution import MaskedConvolution
from models.matrices import LU, FixedLinear, Householder
from models.networks import Conditioner
from models.preprocessing import Logit, SoftLogit, Standardize

SMALL = {"transforms": 3, "hidden": (24, 16)}
IMAGES = SMALL | {"transforms": 1, "levels": 2}
MINT = {"transforms": 2, "hidden": (24, 16)}
LOGIT = [
    {"kind": "logit", "low": -0.5, "high": 16.5},
    {"kind": "standardize", "mean": 0.3, "scale": 2.0},
]
SCALED = [{"kind": "standardize", "mean": [0.5, -1, 2, 0, 3], "scale": [1, 2, 0.5, 3, 1]}]
SOFT = [{"kind": "soft-logit", "low": -3, "high": [16.5, 3, 3, 4, 5], "margin": 0.01}]
NET = Conditioner((24, 16), "tanh")


def whitening(event_shape: tuple[int, ...]) -> FixedLinear:
    """A fixed linear map that is not the identity."""
    layer = FixedLinear(event_shape)
    generator = torch.Generator().manual_seed(5)
    layer.set(
        torch.eye(layer.n) + 0.3 * torch.randn(layer.n, layer.n, generator=generator),
        torch.randn(layer.n, generator=generator),
    )
    return layer


FLOWS: dict[str, Callable[[], Flow]] = {
    "nice": lambda: zoo.build("nice", (5,), options=SMALL),
    "nice images": lambda: zoo.build("nice", (1, 4, 4), options=IMAGES),
    "nice logit": lambda: zoo.build("nice", (5,), preprocessing=LOGIT, options=SMALL),
    "realnvp": lambda: zoo.build("realnvp", (5,), options=SMALL),
    "realnvp 1-D": lambda: zoo.build("realnvp", (1,), options=SMALL),
    "realnvp context": lambda: zoo.build("realnvp", (4,), context_shape=(3,), options=SMALL),
    "realnvp images context": lambda: zoo.build(
        "realnvp", (1, 4, 4), context_shape=(3,), options=IMAGES
    ),
    "maf": lambda: zoo.build("maf", (5,), preprocessing=SCALED, options=SMALL),
    "maf 1-D": lambda: zoo.build("maf", (1,), options=SMALL),
    "maf 2-D": lambda: zoo.build("maf", (2,), options=SMALL),
    "maf logit": lambda: zoo.build("maf", (5,), preprocessing=LOGIT, options=SMALL),
    "maf soft-logit": lambda: zoo.build("maf", (5,), preprocessing=SOFT, options=SMALL),
    "maf image": lambda: zoo.build("maf", (2, 3), options=SMALL),
    "maf context": lambda: zoo.build("maf", (4,), context_shape=(3,), options=SMALL),
    "maf gelu": lambda: zoo.build("maf", (5,), options=SMALL | {"activation": "gelu"}),
    "mintnet images context": lambda: zoo.build(
        "mintnet", (1, 4, 4), context_shape=(3,), options=MINT
    ),
    "mintnet": lambda: zoo.build("mintnet", (5,), options=MINT),
    "iaf": lambda: zoo.build("iaf", (5,), options=SMALL),
    "iaf context": lambda: zoo.build("iaf", (4,), context_shape=(3,), options=SMALL),
}

LAYERS: dict[str, Callable[[], Bijection]] = {
    "permutation": lambda: Permutation((5,), [3, 0, 4, 1, 2]),
    "rescale": lambda: Rescale((5,)),
    "actnorm": lambda: ActNorm((5,)),
    "actnorm of channels": lambda: ActNorm((3, 4, 4)),
    "lu": lambda: LU((5,)),
    "lu rotation": lambda: LU((5,), seed=1),
    "lu 1-D": lambda: LU((1,), seed=1),
    "lu of channels": lambda: LU((3, 4, 4), seed=1),
    "householder": lambda: Householder((5,)),
    "householder of channels": lambda: Householder((3, 4, 4), reflections=2),
    "fixed linear": lambda: whitening((2, 3)),
    "planar": lambda: Planar((5,), NET),
    "planar 1-D": lambda: Planar((1,), NET),
    "planar context": lambda: Planar((2, 3), NET, (2,)),
    "radial": lambda: Radial((5,), NET),
    "radial 1-D": lambda: Radial((1,), NET),
    "radial context": lambda: Radial((2, 3), NET, (2,)),
    "sylvester": lambda: Sylvester((5,), NET, rank=3),
    "sylvester 1-D": lambda: Sylvester((1,), NET),
    "sylvester context": lambda: Sylvester((2, 3), NET, context_shape=(2,)),
    "standardize": lambda: Standardize((5,), [0, 1, 2, 3, 4], [1, 2, 3, 4, 5]),
    "logit": lambda: Logit((5,), [-0.5, 0, 1, 2, 3], 16.5),
    "soft-logit": lambda: SoftLogit((5,), -0.5, [0.5, 0, 1, 2, 3], 0.05),
    "coupling additive": lambda: Coupling((5,), Additive(), [0, 3], NET),
    "coupling affine": lambda: Coupling((5,), Affine(), [1, 2, 4], NET),
    "coupling of a checkerboard": lambda: ImageCoupling(
        (2, 3, 4), Affine(), checkerboard((2, 3, 4), 1), NET
    ),
    "coupling of channels": lambda: ImageCoupling(
        (3, 2, 4), Affine(), half_of_channels((3, 2, 4), 0), NET, (2,)
    ),
    "squeeze": lambda: Squeeze((2, 4, 6)),
    "unsqueeze": lambda: Inverted(Squeeze((1, 4, 2))),
    "partial": lambda: Partial((5,), Coupling((3,), Affine(), [1], NET)),
    "glow": lambda: zoo.build("glow", (5,), options=SMALL).bijection,
    "glow images context": lambda: (
        zoo.build(
            "glow", (1, 4, 4), context_shape=(3,), options=SMALL | {"transforms": 2}
        ).bijection
    ),
    "nsf": lambda: zoo.build("nsf", (5,), options=SMALL).bijection,
    "nsf images context": lambda: (
        zoo.build("nsf", (1, 4, 4), context_shape=(3,), options=SMALL | {"transforms": 1}).bijection
    ),
    "nsf-ar context": lambda: (
        zoo.build("nsf-ar", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "maf-mog context": lambda: (
        zoo.build("maf-mog", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "maf-logistic context": lambda: (
        zoo.build("maf-logistic", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "maf of random orders": lambda: (
        zoo.build("maf", (5,), options=SMALL | {"order": "random", "linear": True}).bijection
    ),
    "iaf spline": lambda: (
        zoo.build("iaf", (4,), options=SMALL | {"univariate": "spline"}).bijection
    ),
    "planar flow context": lambda: (
        zoo.build("planar", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "radial flow context": lambda: (
        zoo.build("radial", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "sylvester flow context": lambda: (
        zoo.build("sylvester", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "gaussianization context": lambda: (
        zoo.build("gaussianization", (4,), context_shape=(3,), options=SMALL).bijection
    ),
    "masked convolution": lambda: MaskedConvolution((2, 4, 4), NET),
    "masked convolution reversed": lambda: MaskedConvolution((1, 4, 6), NET, True),
    "masked convolution context": lambda: MaskedConvolution((3, 2, 2), NET, context_shape=(2,)),
    "masked convolution of a row": lambda: MaskedConvolution((5,), NET),
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
