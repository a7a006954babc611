"""Univariate maps, root finding, convolutions and loops that export to ONNX."""

from models.numerics.convolution import Convolution, convolve
from models.numerics.convolution_inverse import (
    LOST_ULPS,
    ROUNDING_ULPS,
    misses_target,
    solve_by_rows,
    solve_jacobi,
)
from models.numerics.exportable_loops import (
    LOOP_RECORDER,
    LoopStep,
    ScanStep,
    Tensors,
    fixed_point,
    repeat_while,
    scan_in_blocks,
    scan_loop,
)
from models.numerics.folding import fold
from models.numerics.mixtures import Components, GaussianMixture, LogisticMixture
from models.numerics.normal_logistic import log_sigmoid, logistic_from_normal, normal_from_logistic
from models.numerics.root_finding import find_root
from models.numerics.splines import Knots, RationalQuadratic, spline, spline_inverse
from models.numerics.univariate import Additive, Affine, UnivariateMap

__all__ = [
    "LOOP_RECORDER",
    "LOST_ULPS",
    "ROUNDING_ULPS",
    "Additive",
    "Affine",
    "Components",
    "Convolution",
    "GaussianMixture",
    "Knots",
    "LogisticMixture",
    "LoopStep",
    "RationalQuadratic",
    "ScanStep",
    "Tensors",
    "UnivariateMap",
    "convolve",
    "find_root",
    "fixed_point",
    "fold",
    "log_sigmoid",
    "logistic_from_normal",
    "misses_target",
    "normal_from_logistic",
    "repeat_while",
    "scan_in_blocks",
    "scan_loop",
    "solve_by_rows",
    "solve_jacobi",
    "spline",
    "spline_inverse",
]
