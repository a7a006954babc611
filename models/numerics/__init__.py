"""Univariate maps, root finding, convolutions and loops that export to ONNX."""

from models.numerics.convolution import Convolution, convolve
from models.numerics.convolution_inverse import LOST, ROUNDING, by_rows, jacobi, missing
from models.numerics.exportable_loops import Tensors, fixed_point, loop
from models.numerics.folding import fold
from models.numerics.mixtures import GaussianMixture, LogisticMixture
from models.numerics.normal_logistic import log_sigmoid
from models.numerics.root_finding import solve
from models.numerics.splines import Knots, RationalQuadratic, spline, spline_inverse
from models.numerics.univariate import Additive, Affine, UnivariateMap

__all__ = [
    "LOST",
    "ROUNDING",
    "Additive",
    "Affine",
    "Convolution",
    "GaussianMixture",
    "Knots",
    "LogisticMixture",
    "RationalQuadratic",
    "Tensors",
    "UnivariateMap",
    "by_rows",
    "convolve",
    "fixed_point",
    "fold",
    "jacobi",
    "log_sigmoid",
    "loop",
    "missing",
    "solve",
    "spline",
    "spline_inverse",
]
