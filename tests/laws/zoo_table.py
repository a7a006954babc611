"""The law table: one line for each flow and layer that the laws are checked on."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from models import zoo
from models.bijection import Bijection, Compose, Inverted
from models.flow import Flow
from models.layers.autoregressive import MaskedAutoregressive
from models.layers.autoregressive.causal import CausalAutoregressive
from models.layers.coupling import ChannelCoupling, Coupling, MaskCoupling
from models.layers.gaussianization import GaussianizationStep, IterativeGaussianization
from models.layers.images import Partial, Squeeze, checkerboard, half_of_channels
from models.layers.linear import LU, Householder
from models.layers.low_rank import Planar, Radial, Sylvester
from models.layers.mintnet import MaskedConvolution
from models.layers.normalization import ActNorm, Rescale
from models.layers.permutation import Permutation
from models.layers.preprocessing import Logit, NormalMarginals, SoftLogit, Standardize, Whiten
from models.networks.conditioner import Conditioner
from models.numerics.mixtures import GaussianMixture
from models.numerics.splines import RationalQuadratic
from models.numerics.univariate import Additive, Affine

SMALL = {"transforms": 2, "hidden": (24, 16)}
IMAGES = SMALL | {"transforms": 1, "levels": 2}
GELU = SMALL | {"activation": "gelu"}
RESIDUAL = {"transforms": 2, "hidden": (24, 24), "residual": True}
CAUSAL = {"transforms": 2, "hidden": (8, 8, 6)}
TOKENS = {"transforms": 2, "hidden": (8, 8), "heads": 2}
STEPS = {"transforms": 2, "knots": 8}
ONE = SMALL | {"transforms": 1}  # of what takes onnxruntime long
LOGIT = [
    {"kind": "logit", "low": -0.5, "high": 16.5},
    {"kind": "standardize", "mean": 0.3, "scale": 1.5},
]
SCALED = [{"kind": "standardize", "mean": [0.5, -1, 2, 0, 3], "scale": [1, 2, 0.5, 3, 1]}]
WHITE = [
    {"kind": "whiten", "matrix": [[2, 0, 0.5, 0], [-0.3, 1, 0, 0.1], [0, 1, 1, 0], [1, 1, -4, 2]]}
]
MARGINALS = [
    {
        "kind": "normal-marginals",
        "x": [[-2, -1, 0.5, 2 + i] for i in range(5)],
        "y": [-2, -0.5, 0.5, 2],
        "slope": [[0.5, 1, 1, 0.2 + i] for i in range(5)],
    }
]
SOFT = [{"kind": "soft-logit", "low": -3, "high": [16.5, 3, 3, 4, 5], "margin": 0.01}]
NET = Conditioner((24, 16), "tanh")
WIDE = Conditioner((32, 8), "tanh")  # masked convolutions decode row by row
POSITIONAL = Conditioner((32, 8), "tanh", positional_bias=True)


@dataclass(frozen=True)
class Line:
    """A flow of the zoo that the tests hold to every law, export and serve.

    Args:
        family, event_shape, options, preprocessing: of `zoo.build`.
        context: how many numbers its rows are conditioned on; none where it is 0.
        slow: exported and served by `make test-long` only, as what it adds is in the laws.
    """

    family: str
    event_shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=lambda: SMALL)
    preprocessing: list[dict[str, Any]] = field(default_factory=list)
    context: int = 0
    slow: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `zoo.build`, as a run keeps them."""
        columns = [{"mean": 0.0, "scale": 1.0}] * self.context
        return {
            "family": self.family,
            "event_shape": list(self.event_shape),
            "preprocessing": self.preprocessing,
            "options": self.options,
            "context": {"columns": columns} if columns else None,
        }

    def flow(self) -> Flow:
        """The flow, freshly initialised, always the same."""
        torch.manual_seed(0)
        return zoo.build(**self.arguments)


# Names say what a line is about; with "context" in it, it is conditional. A family without a
# conditional line that is exported gets one below: a new family need not be added here.
FLOWS: dict[str, Line] = {
    "nice": Line("nice", (5,), slow=True),
    "nice images context": Line("nice", (1, 4, 4), IMAGES, context=3),
    "nice logit": Line("nice", (5,), preprocessing=LOGIT),
    "realnvp 1-D": Line("realnvp", (1,), slow=True),
    "realnvp images": Line("realnvp", (1, 4, 4), IMAGES, slow=True),
    "glow context": Line("glow", (5,), context=2),
    "glow images": Line("glow", (1, 4, 4), IMAGES, slow=True),
    "glow images positional": Line(
        "glow", (1, 4, 4), IMAGES | {"positional_bias": True}, slow=True
    ),
    "nsf context": Line("nsf", (4,), context=1),
    "nsf unmixed context": Line("nsf", (5,), SMALL | {"linear": False}, context=2, slow=True),
    "nsf images unmixed": Line("nsf", (1, 4, 4), SMALL | {"linear": False, "levels": 1}, slow=True),
    "maf": Line("maf", (5,), preprocessing=SCALED, slow=True),
    "maf 1-D": Line("maf", (1,), slow=True),
    "maf residual context": Line("maf", (9,), RESIDUAL, context=3, slow=True),
    "maf image": Line("maf", (2, 3)),
    "maf normal marginals": Line("maf", (5,), GELU, preprocessing=MARGINALS, slow=True),
    "maf soft-logit context": Line("maf", (5,), GELU, preprocessing=SOFT, context=3),
    "maf-logistic context": Line("maf-logistic", (3,), ONE, context=2),
    "maf-mog context": Line("maf-mog", (2,), ONE, context=2),
    "maf-mog 3-D context": Line("maf-mog", (3,), ONE, context=2, slow=True),
    "nsf-ar context": Line("nsf-ar", (4,), ONE, WHITE, context=3),
    "iaf": Line("iaf", (5,), slow=True),
    "iaf splines": Line("iaf", (4,), ONE | {"univariate": "spline"}, slow=True),
    "iaf mixtures context": Line(
        "iaf", (3,), ONE | {"univariate": "gaussian-mixture"}, context=2, slow=True
    ),
    "wavenet context": Line("wavenet", (6,), CAUSAL | {"transforms": 1}, context=3),
    "wavenet positional": Line("wavenet", (5,), CAUSAL | {"positional_bias": True}, slow=True),
    "wavenet spline": Line(
        "wavenet", (4,), CAUSAL | {"univariate": "spline", "transforms": 1}, slow=True
    ),
    "wavenet dilations": Line("wavenet", (6,), CAUSAL | {"dilations": (3, 1, 4)}, slow=True),
    "parallel wavenet": Line("parallel-wavenet", (6,), CAUSAL | {"cycle": 2}, slow=True),
    "parallel wavenet context": Line(
        "parallel-wavenet", (4,), CAUSAL | {"transforms": 1, "activation": "silu8"}, context=2
    ),
    "transformer context": Line("transformer", (4,), TOKENS, context=3),
    "transformer 1-D": Line("transformer", (1,), TOKENS, slow=True),
    "transformer pairs spline": Line(
        "transformer", (6,), TOKENS | {"patch": 2, "univariate": "spline"}, slow=True
    ),
    "transformer image patches context": Line(
        "transformer",
        (2, 4, 6),
        TOKENS | {"patch": 2, "patch_hidden": (16,), "linear": True},
        context=2,
        slow=True,
    ),
    "transformer mixture": Line(
        "transformer", (3,), TOKENS | {"univariate": "logistic-mixture", "transforms": 1}, slow=True
    ),
    "parallel transformer": Line("parallel-transformer", (5,), TOKENS, slow=True),
    "parallel transformer context": Line(
        "parallel-transformer", (4,), TOKENS | {"transforms": 1, "patch": 2}, context=2
    ),
    "mintnet": Line("mintnet", (5,), slow=True),
    "mintnet images context": Line("mintnet", (1, 4, 4), context=3, slow=True),
    "mintnet rows positional": Line(
        "mintnet",
        (1, 3, 4),
        ONE | {"hidden": (32, 8), "positional_bias": True},
        context=2,
        slow=True,
    ),
    "mintnet rows context": Line("mintnet", (1, 3, 4), ONE | {"hidden": (32, 8)}, context=2),
    "planar context": Line("planar", (4,), ONE, context=3),
    "sylvester context": Line("sylvester", (4,), ONE, context=3),
    "gaussianization context": Line("gaussianization", (4,), ONE, context=3),
    "iterative gaussianization": Line("iterative-gaussianization", (5,), STEPS, slow=True),
    "iterative gaussianization context": Line(
        "iterative-gaussianization", (2, 2), STEPS, context=2
    ),
}


def missing_lines(lines: Mapping[str, Line]) -> dict[str, Line]:
    """A small conditional flow of each family that has no conditional line which is exported."""
    covered = {line.family for line in lines.values() if line.context and not line.slow}
    return {
        f"{family} context": Line(family, (4,), context=3)
        for family in zoo.FAMILIES
        if family not in covered
    }


FLOWS |= missing_lines(FLOWS)

every_line = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * line.slow) for name, line in FLOWS.items()],
)

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
    "planar layer": lambda: Planar((5,), NET),
    "planar layer 1-D": lambda: Planar((1,), NET),
    "planar layer context": lambda: Planar((2, 3), NET, (2,)),
    "radial layer": lambda: Radial((5,), NET),
    "radial layer 1-D": lambda: Radial((1,), NET),
    "radial layer context": lambda: Radial((2, 3), NET, (2,)),
    "sylvester layer": lambda: Sylvester((5,), NET, rank=3),
    "sylvester layer 1-D": lambda: Sylvester((1,), NET),
    "sylvester layer context": lambda: Sylvester((2, 3), NET, context_shape=(2,)),
    "standardize": lambda: Standardize((5,), [0, 1, 2, 3, 4], [1, 2, 3, 4, 5]),
    "whiten": lambda: Whiten((2,), [[0.5, 2], [-1, 3]]),
    "logit": lambda: Logit((5,), [-0.5, 0, 1, 2, 3], 16.5),
    "soft-logit": lambda: SoftLogit((5,), -0.5, [0.5, 0, 1, 2, 3], 0.05),
    "normal marginals": lambda: NormalMarginals(
        (2, 1), [[-1, 0, 3], [5, 5.5, 7]], [-2, 0.5, 1], [[2, 1, 0.1], [4, 5, 0.3]]
    ),
    "normal marginals of channels": lambda: NormalMarginals(
        (2, 2, 3), [[-1, 0, 3], [5, 5.5, 7]], [-2, 0.5, 1], [[2, 1, 0.1], [4, 5, 0.3]]
    ),
    "coupling additive": lambda: Coupling((5,), Additive(), [0, 3], NET),
    "coupling affine": lambda: Coupling((5,), Affine(), [1, 2, 4], NET),
    "coupling of a checkerboard": lambda: MaskCoupling(
        (2, 3, 4), Affine(), checkerboard((2, 3, 4), 1), NET
    ),
    "coupling of channels": lambda: ChannelCoupling(
        (3, 2, 4), Affine(), half_of_channels((3, 2, 4), 1), NET, (2,)
    ),
    "coupling of no channels": lambda: ChannelCoupling((1, 3, 4), Affine(), [], NET),
    "squeeze": lambda: Squeeze((2, 4, 6)),
    "unsqueeze": lambda: Inverted(Squeeze((1, 4, 2))),
    "partial": lambda: Partial((5,), Coupling((3,), Affine(), [1], NET)),
    "nsf images context": lambda: (
        zoo.build("nsf", (1, 4, 4), context_shape=(3,), options=SMALL | {"transforms": 1}).bijection
    ),
    "maf of random orders": lambda: (
        zoo.build("maf", (5,), options=SMALL | {"order": "random", "linear": True}).bijection
    ),
    "iaf spline": lambda: (
        zoo.build("iaf", (4,), options=SMALL | {"univariate": "spline"}).bijection
    ),
    "masked convolution": lambda: MaskedConvolution((2, 4, 4), NET),
    "masked convolution positional": lambda: MaskedConvolution((2, 3, 4), POSITIONAL, True, (2,)),
    "masked convolution reversed": lambda: MaskedConvolution((1, 4, 6), NET, True),
    "masked convolution context": lambda: MaskedConvolution((3, 2, 2), NET, context_shape=(2,)),
    "masked convolution of a row": lambda: MaskedConvolution((5,), NET),
    "masked convolution by rows": lambda: MaskedConvolution((2, 3, 4), WIDE),
    "masked convolution by rows reversed": lambda: MaskedConvolution((1, 4, 3), WIDE, True),
    "masked convolution by rows context": lambda: MaskedConvolution(
        (3, 2, 2), WIDE, True, context_shape=(2,)
    ),
    "maf layer": lambda: MaskedAutoregressive((5,), Affine(), [2, 0, 4, 1, 3], NET),
    "nice-map autoregressive": lambda: MaskedAutoregressive((5,), Additive(), [0, 1, 2, 3, 4], NET),
    "causal layer": lambda: CausalAutoregressive((5,), Affine(), NET, reverse=True),
    "causal mixture context": lambda: CausalAutoregressive(
        (4,), GaussianMixture(3), NET, context_shape=(2,)
    ),
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
        for part in module.modules():
            if isinstance(part, IterativeGaussianization) and scale > 0:
                for _ in range(2):
                    part.append(_random_step(part, generator))


def _random_step(
    layer: IterativeGaussianization, generator: torch.Generator
) -> GaussianizationStep:
    """A step as one is after fitting: any regression, splines, center and invertible matrix."""
    regression, (_, n, knots), center, matrix = layer.shapes
    splines = RationalQuadratic(knots - 1, 3.0, "linear")
    return GaussianizationStep(
        0.3 * torch.randn(regression, generator=generator),
        torch.stack(splines.knots(0.5 * torch.randn(n, splines.size, generator=generator))),
        torch.randn(center, generator=generator),
        torch.eye(n) + 0.6 / math.sqrt(n) * torch.randn(matrix, generator=generator),
    )


def case(name: str, dtype: torch.dtype, rows: int = 6, scale: float = 0.15) -> Case:
    """A flow's or layer's bijection with rows inside its support.

    Args:
        scale: how far its parameters are moved away from the identity.
    """
    torch.manual_seed(0)
    bijection = LAYERS[name]() if name in LAYERS else FLOWS[name].flow().bijection
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
