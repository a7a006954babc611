"""Standard normal noise without its tails."""

import math

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# Coefficients of Wichura, "Algorithm AS 241: The percentage points of the normal distribution"
# (1988), PPND16: numerators and denominators for |p − ½| ≤ 0.425, and for the nearer and the
# farther tail; exact to about one part in 10¹⁶.
CENTRE = (
    [3.3871328727963666080, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3],
    [1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3],
)  # fmt: skip
NEAR = (
    [1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550,
     3.64784832476320460504, 1.27045825245236838258, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4],
    [1.0, 2.05319162663775882187, 1.67638483018380384940, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9],
)  # fmt: skip
FAR = (
    [6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580,
     2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
     2.71155556874348757815e-5, 2.01033439929228813265e-7],
    [1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
     2.04426310338993978564e-15],
)  # fmt: skip


def truncated_normal(uniform: Float64, bound: float) -> Float64:
    """Noise of the standard normal density within ±bound, and none beyond.

    Args:
        uniform: of [0, 1), any shape; one number makes one.
        bound: in standard deviations.
    """
    below = 0.5 * math.erfc(bound / math.sqrt(2))
    # of both tails by the lower: probabilities near 0 are told apart better than those near 1
    lower = _lower_quantile(below + np.minimum(uniform, 1 - uniform) * (1 - 2 * below))
    return np.clip(np.where(uniform > 0.5, -lower, lower), -bound, bound)


def _lower_quantile(p: Float64) -> Float64:
    """The standard normal's quantile function for p ≤ ½."""
    from_centre = p - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        central = from_centre * _ratio(CENTRE, 0.180625 - from_centre**2)
        depth = np.sqrt(-np.log(p))
        tail = np.where(depth <= 5, _ratio(NEAR, depth - 1.6), _ratio(FAR, depth - 5))
    return np.where(from_centre >= -0.425, central, -tail)


def _ratio(of: tuple[list[float], list[float]], x: Float64) -> Float64:
    above, below = (np.polynomial.polynomial.polyval(x, coefficients) for coefficients in of)
    quotient: Float64 = above / below
    return quotient
