"""Columns of numbers: whether they are real numbers, multiples of a step, or codes of classes."""

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    MAX_POINT_MASSES,
    Float64,
    LatticeColumn,
    NumericColumn,
    Word,
    on_lattice,
)
from service.tables.decision.relations import marker
from service.tables.decision.steps import MAX_SIZE, Step, find_step, on_step

Counts = NDArray[np.intp]

# Classes that have a code of their own; rarer ones are `other`.
MAX_CLASSES = 256
# All classes have one where there are no more than this.
FEW_CLASSES = 16

# Two numbers have no order that would say more than their names.
MOST_NUMBERS_WITHOUT_ORDER = 2

# Codes are whole numbers: each stands in so many rows on average, and the range has so many empty
# places for each that stands there often; most are no multiples of five, as people's numbers are.
MIN_ROWS_OF_A_CODE = 10
OFTEN = 5
MIN_PLACES_OF_A_CODE = 5.0
MIN_ROUND_SHARE = 0.6

# A gap that so many neighbouring values have is the step of most values, whatever that of all is.
MIN_SHARE_OF_A_GAP = 1 / 3

# Values off the step of all others that are said.
MAX_STRAY_SHARE = 0.01

# A step shows where rows share values, or where it is not all too small; whole numbers stay whole.
MIN_TIED_SHARE = 0.05
MAX_CELLS_WITHOUT_TIES = 1e5
# More is the precision of print.
MAX_CELLS = 1e9

# The ends of a lattice are those of its values where so many rows are there and none beyond.
MIN_ROWS_AT_AN_END = 50
MIN_SHARE_AT_AN_END = 0.01

# Values of large weight: of real numbers, of which none repeats by chance; and of a lattice, where
# they stand out from the cells around them.
MIN_SHARE_OF_A_MASS = 0.01
MIN_ROWS_OF_A_MASS = 5
TIMES_ITS_NEIGHBOURS = 10.0
NEIGHBOURING_CELLS = 5
FEW_CELLS = 20


def are_classes(distinct: Float64, counts: Counts, step: Step | None) -> str:
    """Why numbers are codes of classes, for people; empty where they are not.

    Args:
        distinct: the values, sorted, each once.
        counts: in how many rows each stands.
        step: that they are multiples of; None where there is none.
    """
    if len(distinct) <= MOST_NUMBERS_WITHOUT_ORDER:
        return f"{len(distinct)} different numbers have no order to learn"
    if step is None or not _is_whole(step) or len(distinct) > MAX_CLASSES:
        return ""
    # zeros in most rows say nothing about how often the others repeat
    mean = (counts.sum() - counts.max()) / (len(distinct) - 1)
    often = distinct[counts >= OFTEN]
    if mean < MIN_ROWS_OF_A_CODE or len(often) <= MOST_NUMBERS_WITHOUT_ORDER:
        return ""
    gap, share = _usual_gap(distinct)
    place = gap if share > MIN_SHARE_OF_A_GAP else step.step
    # the largest gap is that of a marker, such as −999
    places = (often[-1] - often[0] - np.diff(often).max()) / place / (len(often) - 1)
    multiples = np.rint(often / step.step)
    is_round = step.origin == 0 and (multiples % 5 == 0).mean() >= MIN_ROUND_SHARE
    if places < MIN_PLACES_OF_A_CODE or is_round:
        return ""
    return f"codes: {len(distinct)} whole numbers, far apart and each in many rows"


def _is_whole(step: Step) -> bool:
    """Whether all multiples are whole numbers."""
    return step.step == round(step.step) and step.origin == round(step.origin)


def _usual_gap(distinct: Float64) -> tuple[float, float]:
    """The commonest difference of neighbouring values, and its share of all differences."""
    with np.errstate(over="ignore"):
        gaps = np.diff(distinct)
        rounded, counts = np.unique(np.round(gaps / gaps.min(), 6), return_counts=True)
        return float(rounded[counts.argmax()] * gaps.min()), float(counts.max() / len(gaps))


def strays(values: Float64) -> tuple[float, int, int] | None:
    """The step of nearly all values, where a few are no multiples of it.

    Args:
        values: at least one, multiples of no common step.

    Returns:
        The step, the place of the first value that is no multiple, and how many are not.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= MOST_NUMBERS_WITHOUT_ORDER or np.abs(distinct).max() > MAX_SIZE:
        return None
    gap, share = _usual_gap(distinct)
    if share < MIN_SHARE_OF_A_GAP:
        return None
    multiples = (values - distinct[counts.argmax()]) / gap
    off = np.flatnonzero(np.abs(multiples - np.rint(multiples)) > 1e-3)
    if not 0 < len(off) <= MAX_STRAY_SHARE * len(values):
        return None
    return gap, int(off[0]), len(off)


def lattice_or_numeric(
    name: str, values: Float64, *, missing: bool, step: Step | None, as_kind: str | None
) -> tuple[LatticeColumn | NumericColumn, str]:
    """A column of ordered numbers, and why it is of its kind.

    Args:
        name: of the column.
        values: at least one, none missing.
        missing: whether others are.
        step: that they are multiples of; None where there is none.
        as_kind: `numeric` or `lattice`, if the user says so; a lattice has a step.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if step is not None and as_kind != "numeric":
        why = _step_shows(distinct, counts, step)
        if why or as_kind == "lattice":
            exact = on_lattice(distinct, step.step, step.origin)
            column = LatticeColumn(
                name=name,
                missing=missing,
                low=float(exact[0]),
                high=float(exact[-1]),
                step=step.step,
                origin=step.origin,
                closed=_are_ends(counts),
                point_masses=_masses_of_a_lattice(exact, counts, step),
            )
            of = f" from {step.origin:.6g}" if step.origin else ""
            if step == Step(1.0, 0.0):
                return column, "whole numbers"
            return column, f"multiples of {step.step:.6g}{of}{f', {why}' if why else ''}"
    column_of_reals = NumericColumn(
        name=name,
        missing=missing,
        low=float(distinct[0]),
        high=float(distinct[-1]),
        point_masses=_masses_of_reals(distinct, counts),
    )
    tied = 1 - len(distinct) / len(values)
    repeated = f", {tied:.0%} of the rows repeat a value" if tied > MIN_TIED_SHARE else ""
    return column_of_reals, f"{len(distinct)} different numbers{repeated}"


def _step_shows(distinct: Float64, counts: Counts, step: Step) -> str:
    """Why a step matters, for people; empty where values are as good as continuous."""
    if _is_whole(step):
        return "whole numbers"
    cells = (distinct[-1] - distinct[0]) / step.step + 1
    if cells <= MAX_CELLS_WITHOUT_TIES:
        return f"{cells:.0f} from the smallest to the largest"
    # values of large weight say nothing about the others
    others = counts[~np.isin(distinct, _masses_of_a_lattice(distinct, counts, step))]
    tied = int(others[others > 1].sum()) / max(1, int(others.sum()))
    shows = tied > MIN_TIED_SHARE and cells <= MAX_CELLS
    return f"{tied:.0%} of the rows share a value" if shows else ""


def _are_ends(counts: Counts) -> bool:
    """Whether values pile up at both ends, where those beyond would have been seen."""
    least = max(MIN_ROWS_AT_AN_END, MIN_SHARE_AT_AN_END * int(counts.sum()))
    return bool(min(counts[0], counts[-1]) >= least)


def _masses_of_reals(distinct: Float64, counts: Counts) -> list[float]:
    least = max(MIN_ROWS_OF_A_MASS, MIN_SHARE_OF_A_MASS * int(counts.sum()))
    return _heaviest(distinct, counts, counts >= least)


def _masses_of_a_lattice(distinct: Float64, counts: Counts, step: Step) -> list[float]:
    """Values that stand out from the cells around them, and those far from all others."""
    cells = np.rint((distinct - distinct[0]) / step.step)
    if cells[-1] < FEW_CELLS:
        return []
    least = max(MIN_ROWS_OF_A_MASS, MIN_SHARE_OF_A_MASS * int(counts.sum()))
    chosen = np.zeros(len(distinct), bool)
    for i in np.flatnonzero(counts >= least):
        near = np.abs(cells - cells[i]) <= NEIGHBOURING_CELLS
        places = min(cells[i], NEIGHBOURING_CELLS) + min(cells[-1] - cells[i], NEIGHBOURING_CELLS)
        around = (int(counts[near].sum()) - int(counts[i])) / places
        chosen[i] = counts[i] > TIMES_ITS_NEIGHBOURS * around
    return _heaviest(distinct, counts, chosen)


def _heaviest(distinct: Float64, counts: Counts, chosen: NDArray[np.bool_]) -> list[float]:
    if (far := marker(distinct, counts)) is not None:
        chosen = chosen | (distinct == far[0])
    places = np.flatnonzero(chosen)
    heaviest = places[np.argsort(-counts[places], kind="stable")[:MAX_POINT_MASSES]]
    return sorted(distinct[heaviest].tolist())


def classes_by_frequency(words: tuple[Word, ...], counts: Counts) -> list[int]:
    """The codes of the classes that are kept, the most frequent first, by name where equal.

    Of many classes those that stand in a single row are left to `other`, whose share of the rows
    they are (Good 1953).
    """
    order = sorted(
        np.flatnonzero(counts).tolist(),
        key=lambda code: (-int(counts[code]), str(type(words[code])), words[code]),
    )
    if len(order) <= FEW_CLASSES:
        return order
    repeated = [code for code in order if counts[code] > 1]
    return (repeated or order)[:MAX_CLASSES]


def step_of(values: Float64, single: bool, came_single: bool) -> Step | None:
    """The step that the values are multiples of, as closely as those of rows are to be.

    Args:
        values: at least one.
        single: whether all are numbers of float32.
        came_single: whether they came as such.
    """
    distinct = np.unique(values)
    step = find_step(distinct, single) if len(distinct) > 1 else None
    if step is None:
        return None
    nearest = on_lattice(distinct, step.step, step.origin)
    _, off = on_step(distinct, nearest, step.step, came_single)
    return None if off.any() else step
