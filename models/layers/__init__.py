"""The layers of flows: bijections and their inverses."""

from models.layers.autoregressive import (
    COORDINATE_LIMIT,
    ONE_BLOCK_COORDINATES,
    Autoregressive,
    CausalAutoregressive,
    Inverse,
    MaskedAutoregressive,
    TransformerAutoregressive,
    counted_sweeps,
)
from models.layers.coupling import ChannelCoupling, Coupling, MaskCoupling
from models.layers.gaussianization import (
    GaussianizationStep,
    IterativeGaussianization,
    MarginalMixture,
    with_constant,
)
from models.layers.images import (
    LayerFactory,
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

__all__ = [
    "COORDINATE_LIMIT",
    "LU",
    "ONE_BLOCK_COORDINATES",
    "PREPROCESSING",
    "ActNorm",
    "Autoregressive",
    "CausalAutoregressive",
    "ChannelCoupling",
    "Coupling",
    "GaussianizationStep",
    "Householder",
    "Inverse",
    "IterativeGaussianization",
    "LayerFactory",
    "MarginalMixture",
    "MaskCoupling",
    "MaskedAutoregressive",
    "MaskedConvolution",
    "Partial",
    "Planar",
    "Radial",
    "Rescale",
    "Sylvester",
    "TransformerAutoregressive",
    "checkerboard",
    "counted_sweeps",
    "half_of_channels",
    "is_image",
    "levels_allowed",
    "multi_scale",
    "opposite_pixels",
    "with_constant",
]
