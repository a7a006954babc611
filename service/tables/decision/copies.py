"""Columns that hold nothing new: copies of others, in other units or by other names, and sums.

What looks like a copy in a sample is compared in every row: a single row in which two columns
differ can be the one that matters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64
from service.tables.decision.relations import combinations, sampled_rows
from service.tables.decision.steps import FLOAT32_ERROR, FLOAT64_ERROR

# Columns that correlate less are not compared row by row.
MIN_CORRELATION = 0.999

# A copy is one to so much of its spread and the units in the last place of its largest value, and
# what rounding in steps adds.
COPY_ERROR = 1e-9
ROUNDING_SLACK = 1.05

# A copy in the same units.
UNIT_ERROR = 1e-6

# Of copies in steps of nearly one size the first one stays.
COARSER = 1.01

# A step that is larger than this share of a column's spread leaves too few values to tell a
# rounded copy from two columns.
MAX_STEP_OF_SPREAD = 0.1

# Columns that agree while nearly constant agree by chance: so many rows with other values than
# the commonest one are needed.
MIN_ROWS_THAT_VARY = 5


class Measured(NamedTuple):
    """A column of numbers or times.

    Args:
        name: of the column.
        values: N; NaN where missing.
        step: that they are multiples of; 0 where there is none.
        single: whether they are float32.
    """

    name: str
    values: Float64
    step: float
    single: bool

    @property
    def largest(self) -> float:
        """The largest absolute value, in units of which squares neither overflow nor vanish."""
        return float(np.nanmax(np.abs(self.values))) or 1.0

    @property
    def error(self) -> float:
        """What the values are exact to, in units of the largest."""
        spread = float(np.nanstd(self.values / self.largest))
        return (FLOAT32_ERROR if self.single else FLOAT64_ERROR) + COPY_ERROR * spread


class Copy(NamedTuple):
    """A column that follows from others.

    Args:
        name: of the column.
        others: the columns that it follows from.
        formula: how, for people.
    """

    name: str
    others: tuple[str, ...]
    formula: str


def affine_copies(columns: Sequence[Measured]) -> list[Copy]:
    """Columns that are a x + b of another one in every row, up to the rounding of both.

    Of two that are copies of each other the one in coarser steps is named, or else the later one.
    """
    found: list[Copy] = []
    copied: set[str] = set()
    for alike in _by_gaps(columns):
        present = [column.values[~np.isnan(column.values)] / column.largest for column in alike]
        for i, j in _correlated(np.stack(present)):
            first, second = alike[i], alike[j]
            if {first.name, second.name} & copied:
                continue
            steps = _relative_step(first, present[i]), _relative_step(second, present[j])
            if steps[0] > COARSER * steps[1]:
                first, second, i, j = second, first, j, i
            formula = _formula(first, present[i], second, present[j])
            if formula:
                copied.add(second.name)
                found.append(Copy(second.name, (first.name,), formula))
    return found


def _by_gaps(columns: Sequence[Measured]) -> list[list[Measured]]:
    """Columns with values missing in the same rows, together."""
    groups: dict[bytes, list[Measured]] = {}
    for column in columns:
        groups.setdefault(np.packbits(np.isnan(column.values)).tobytes(), []).append(column)
    return [group for group in groups.values() if len(group) > 1]


def _correlated(columns: Float64) -> NDArray[np.intp]:
    """Pairs of columns, D × N, that correlate in all rows, earlier first."""
    scaled = columns - columns.mean(1, keepdims=True)
    lengths = np.sqrt((scaled * scaled).sum(1))
    scaled[lengths > 0] /= lengths[lengths > 0, None]
    pairs: NDArray[np.intp] = np.argwhere(np.triu(np.abs(scaled @ scaled.T), 1) > MIN_CORRELATION)
    return pairs


def _relative_step(column: Measured, values: Float64) -> float:
    return column.step / column.largest / float(np.std(values))


def _formula(first: Measured, x: Float64, second: Measured, y: Float64) -> str:
    """How the second column follows from the first; empty where it does not.

    Args:
        first, second: the columns.
        x, y: their values, in units of the largest of each.
    """
    distinct, counts = np.unique(y, return_counts=True)
    varying = y[y != distinct[counts.argmax()]]
    if len(varying) < MIN_ROWS_THAT_VARY:
        return ""
    deviations = x - x.mean()
    factor = float(deviations @ (y - y.mean()) / (deviations @ deviations))
    offset = float(y.mean() - factor * x.mean())
    error = second.error + abs(factor) * first.error
    steps = second.step / second.largest, abs(factor) * first.step / first.largest
    rounding = ROUNDING_SLACK * sum(steps) / 2
    low, high = np.quantile(varying, [0.25, 0.75])
    if rounding <= MAX_STEP_OF_SPREAD * (high - low):
        error += rounding
    if np.abs(y - y.mean() - factor * deviations).max() > error:
        return ""
    rounded = ", up to rounding" * bool(
        error > rounding > 0 and (first.values != second.values).any()
    )
    factor *= second.largest / first.largest
    if abs(factor - 1) < UNIT_ERROR and abs(offset) <= error:
        return f"repeats {first.name!r} in every row{rounded}"
    offset *= second.largest
    amount = f" {'+' if offset > 0 else '−'} {abs(offset):.4g}"
    shifted = amount * (abs(offset) > error * second.largest)
    return f"is {factor:.6g} × {first.name!r}{shifted} in every row{rounded}"


def dependent_columns(columns: Sequence[Measured]) -> list[Copy]:
    """Columns without gaps that are linear combinations of others in every row, such as totals."""
    complete = [column for column in columns if not np.isnan(column.values).any()]
    rows = len(complete[0].values) if complete else 0
    chosen = sampled_rows(rows, len(complete))
    if chosen is None:
        return []
    sample = np.stack([column.values[np.sort(chosen)] / column.largest for column in complete], 1)
    varying = np.flatnonzero(sample.std(0) > 0)
    complete = [complete[i] for i in varying]
    found = []
    for column, others in combinations(sample[:, varying]):
        if others and _follows(complete[column], [complete[i] for i in others]):
            names = tuple(complete[i].name for i in others)
            formula = f"follows from {_listed(names)}, as a total does from its parts"
            found.append(Copy(complete[column].name, names, formula))
    return found


def _follows(column: Measured, others: Sequence[Measured]) -> bool:
    """Whether a column is a combination of others in every row."""
    design = np.stack([other.values / other.largest for other in others], 1)
    design = design - design.mean(0)
    scale = design.std(0)
    target = column.values / column.largest
    target = target - target.mean()
    coefficients = np.linalg.lstsq(design / scale, target, rcond=None)[0] / scale
    errors = np.array([other.error for other in others])
    error = column.error + float(np.abs(coefficients) @ errors)
    return bool(np.abs(design @ coefficients - target).max() <= error)


def _listed(names: Sequence[str]) -> str:
    told = ", ".join(map(repr, names[:8]))
    return told + f" and {len(names) - 8} more" * (len(names) > 8)


def relabelled(columns: Sequence[tuple[str, NDArray[np.int64], bool]]) -> list[Copy]:
    """Columns of classes that name the same classes otherwise in every row, the later of two.

    Args:
        columns: name, codes (N, −1 where missing), and whether the classes are words; codes that
            are numbers are left out for words, but not for other numbers.
    """
    found: list[Copy] = []
    firsts: dict[tuple[int, ...], list[tuple[str, NDArray[np.int64], bool]]] = {}
    for name, codes, are_words in columns:
        counts = np.unique(codes, return_counts=True)[1]
        if len(codes) - counts.max() < MIN_ROWS_THAT_VARY:
            continue
        alike = firsts.setdefault(tuple(sorted(counts.tolist())), [])
        for other, others_codes, other_words in alike:
            pairs = np.unique((codes + 1) * len(counts) * 2 + others_codes + 1)
            if (are_words or other_words) and len(pairs) == len(counts):
                formula = f"names the classes of {other!r} otherwise, in every row"
                found.append(Copy(name, (other,), formula))
                break
        else:
            alike.append((name, codes, are_words))
    return found
