"""The step that the values of a column are multiples of, found in the values themselves."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64, on_lattice
from service.tables.writing import MAX_WHOLE

# Values are multiples of a step to so many units in the last place of the largest of them: what a
# few operations on them leave.
FLOAT64_ERROR = 64 * 2.0**-52
FLOAT32_ERROR = 4 * 2.0**-24

# A value is a multiple of a step that is nearer than this share of it, or, where the digits that it
# came with leave more to chance, than that.
OFF_STEP = 1e-3
MOST_OFF_STEP = 0.25

# Files that write numbers with 10 or 7 digits have no exact multiples of steps such as 1/93: to
# so much of the largest.
PRINTED_ERRORS = (1e-10, 1e-7)

# Steps of more digits are no decimal numbers.
STEP_DIGITS = 12

# A step is at least so many errors, and so improbable to be found among values that have none.
MIN_ERRORS_OF_A_STEP = 20
MAX_CHANCE = 1e-9

# Distinct values that a step is looked for in; it is then checked on all.
SAMPLED_VALUES = 2048
MAX_TRIES = 8
MAX_REDUCTIONS = 200

# Larger numbers overflow in squares.
MAX_SIZE = 1e150


class Step(NamedTuple):
    """Values are origin + k step, for whole k."""

    step: float
    origin: float


def on_step(
    values: Float64, nearest: Float64, step: float, single: bool = False
) -> tuple[Float64, NDArray[np.bool_]]:
    """The nearest multiples of a step, and whether each value is off them.

    The error of float32 is one only of values that came as such, or that are what float32 makes of
    a multiple; and of multiples of a step such as 1/93, which any file rounds (`PRINTED_ERRORS`).

    Args:
        values: of which some may be NaN, which is off nothing.
        nearest: the multiples that are nearest to them.
        step: their distance.
        single: whether the values came as float32.
    """
    is_rounded = single or float(f"{step:.{STEP_DIGITS}g}") != step
    with np.errstate(over="ignore", invalid="ignore"):
        coarse = is_rounded | (nearest.astype(np.float32) == values)
        error = np.where(coarse, FLOAT32_ERROR, FLOAT64_ERROR) * np.abs(values)
        largest = np.minimum(np.maximum(OFF_STEP * step, error), MOST_OFF_STEP * step)
        return nearest, np.abs(values - nearest) > largest


def find_step(values: Float64, single: bool = False) -> Step | None:
    """The largest step that all values are multiples of, counted from some origin.

    Values that are whole after a division by a power of ten are compared exactly; others by
    Euclid's algorithm on their differences, to the error that they have.

    Args:
        values: sorted, all different, at least two.
        single: whether they were float32.
    """
    if max(-values[0], values[-1]) > MAX_SIZE:
        return None
    whole = _whole_step(values, 0, single)
    if whole is not None:
        return whole
    found = next(filter(None, (_real_step(values, single, e) for e in PRINTED_ERRORS)), None)
    for places in range(1, 13):
        decimal = _whole_step(values, places, single)
        if decimal is not None:
            # 1/93 to ten digits is a multiple of 1e-10, too, and that says nothing
            return decimal if found is None or decimal.step > 0.9 * found.step else found
    return found


def _whole_step(values: Float64, places: int, single: bool) -> Step | None:
    """The step of values that have no more decimal places than some."""
    scale = 10.0**places
    with np.errstate(over="ignore"):
        scaled = values * scale
    multiples = np.rint(scaled)
    largest = float(np.abs(multiples).max())
    error = (2.0**-24 if single else 2.0**-52) * largest * (places > 0)
    if largest > MAX_WHOLE or error > 0.01:
        return None
    if np.abs(scaled - multiples).max() > 2 * error:
        return None
    whole = multiples.astype(np.int64)
    step = int(np.gcd.reduce(np.diff(whole)))
    if single and not _is_improbable(2 * error / step, len(values)):
        return None
    return Step(step / scale, int(whole[0]) % step / scale)


def _real_step(values: Float64, single: bool, printed: float) -> Step | None:
    """The step of values that are whole in other units only: thirds, or standardised numbers."""
    differences = values - values[0]
    largest = float(np.abs(values).max())
    error = max(FLOAT32_ERROR if single else FLOAT64_ERROR, printed) * largest
    least = MIN_ERRORS_OF_A_STEP * error
    chosen = np.linspace(0, len(values) - 1, min(len(values), SAMPLED_VALUES)).astype(np.intp)
    closest = int(np.diff(values).argmin())
    sample = np.unique(np.r_[differences[chosen], np.diff(values)[closest]])[1:]
    for _ in range(MAX_TRIES):
        step = _common_step(sample, error, least)
        if step is None:
            return None
        residuals = np.abs(differences - np.rint(differences / step) * step)
        if residuals.max() <= 2 * error:
            break
        sample = np.unique(np.r_[sample, differences[residuals.argmax()]])
    else:
        return None
    if not _is_improbable(2 * error / step, len(values)):
        return None
    return _rounded(values, step, 2 * error)


def _is_improbable(share: float, values: int) -> bool:
    """Whether values without a step would hardly all be so near to multiples of one by chance."""
    return (values - 2) * math.log(max(2 * share, 1e-300)) < math.log(MAX_CHANCE)


def _common_step(differences: Float64, error: float, least: float) -> float | None:
    """The largest step that all differences are multiples of; None if it would be below `least`.

    The estimate of a step counts reliably as far as its own error has not grown to a quarter of it:
    the differences within that reach make the estimate finer, and the reach longer.
    """
    step, step_error = float(differences[0]), 2 * error
    for _ in range(MAX_REDUCTIONS):
        if step < least:
            return None
        within = differences[differences <= max(step, step * step / (4 * step_error))]
        if not len(within):
            return None
        counts = np.rint(within / step)
        residuals = np.abs(within - counts * step)
        wrong = residuals > 2 * error + counts * step_error
        if wrong.any():
            # what is left over is a multiple of the step as well
            step = float(residuals[wrong].min())
            step_error = 4 * error
            continue
        step = float(counts @ within / (counts @ counts))
        finer = 2 * error / float(counts.max())
        if len(within) == len(differences):
            return step
        if finer >= step_error:
            return None
        step_error = finer
    return None


def _rounded(values: Float64, step: float, error: float) -> Step:
    """The step that fits best, or one of few digits or over a whole number that fits as well."""
    counts = np.rint((values - values[0]) / step)
    centred = counts - counts.mean()
    fitted = float(centred @ (values - values.mean()) / (centred @ centred))
    best = Step(fitted, float(values.mean() - counts.mean() * fitted))
    accepted = max(1.5 * _misfit(values, best), 8 * 2.0**-52 * float(np.abs(values).max()))
    candidates = [float(f"{fitted:.{digits}g}") for digits in range(1, 7)]
    candidates += [1 / round(1 / fitted)] if fitted < 0.9 else []
    for candidate in [*candidates, fitted]:
        offset = best.origin - np.rint(best.origin / candidate) * candidate
        for origin in (0.0, round(float(offset % candidate), 12), float(offset % candidate)):
            if _misfit(values, Step(candidate, origin)) <= min(accepted, error):
                return Step(candidate, origin)
    return Step(fitted, float(offset % fitted))  # the offset of the last candidate, which it is


def _misfit(values: Float64, step: Step) -> float:
    return float(np.abs(on_lattice(values, step.step, step.origin) - values).max())
