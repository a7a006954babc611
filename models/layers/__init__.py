"""The bijections that flows are made of."""

from models.layers.autoregressive import MaskedAutoregressive
from models.layers.causal import CausalAutoregressive
from models.layers.coupling import ChannelCoupling, Coupling, MaskCoupling
from models.layers.gaussianization import (
    IterativeGaussianization,
    MarginalMixture,
    Step,
    with_constant,
)
from models.layers.images import (
    Layers,
    Partial,
    checkerboard,
    half_of_channels,
    is_image,
    levels_allowed,
    multi_scale,
    opposite_pixels,
)
from models.layers.linear import LU, Householder
from models.layers.low_rank import Planar, Radial, Sylvester
from models.layers.mintnet import MaskedConvolution
from models.layers.normalization import ActNorm, Rescale
from models.layers.preprocessing import PREPROCESSING
from models.layers.sequential_inverse import FEW, LARGEST, Inverse

__all__ = [
    "FEW",
    "LARGEST",
    "LU",
    "PREPROCESSING",
    "ActNorm",
    "CausalAutoregressive",
    "ChannelCoupling",
    "Coupling",
    "Householder",
    "Inverse",
    "IterativeGaussianization",
    "Layers",
    "MarginalMixture",
    "MaskCoupling",
    "MaskedAutoregressive",
    "MaskedConvolution",
    "Partial",
    "Planar",
    "Radial",
    "Rescale",
    "Step",
    "Sylvester",
    "checkerboard",
    "half_of_channels",
    "is_image",
    "levels_allowed",
    "multi_scale",
    "opposite_pixels",
    "with_constant",
]
