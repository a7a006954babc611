"""Whether a column on its own has a bounded density, and what to do where it has none."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.tables import MIN_DISTINCT_VALUES, marker
from training.data.context import MAX_CLASSES
from training.data.readers import TextColumn

# A column with fewer distinct values than this share of the rows is a set of labels.
MIN_DISTINCT_SHARE = 0.01

# A value in a larger share of the rows than this is no draw from a density.
MAX_SHARE_OF_ONE_VALUE = 0.2

# Above it float32 has less than two binary digits for noise of half a step.
MAX_INTEGER = 2**22

# A class of fewer rows may have none to train on.
MIN_ROWS_OF_A_CLASS = 5

# A column that keeps a smaller share of its distinct values in float32 than this is refused.
MIN_SHARE_KEPT_IN_FLOAT32 = 0.9


class Problem(NamedTuple):
    """Why a column cannot be modelled.

    Args:
        column: its name.
        kind: of the problem; columns of one are said together.
        text: what is wrong, beginning with the column's name.
        remedy: what else helps than to leave it out; empty where nothing does.
    """

    column: str
    kind: str
    text: str
    remedy: str = ""


class ColumnCheck(NamedTuple):
    """What a column is.

    Args:
        integer: whether it holds whole numbers that are to be dequantised.
        problem: why it has no bounded density; None if it has one.
    """

    integer: bool
    problem: Problem | None = None


def check_column(
    values: NDArray[np.float64], name: str, *, dequantize: bool, exact: float, pixels: bool
) -> ColumnCheck:
    """Check the finite values of a column.

    Args:
        values: the column; at least one value.
        name: its name.
        dequantize: whether whole numbers are to be dequantised, not refused.
        exact: whole numbers below this size are whole in the file's own number type; all larger
            numbers of that type are.
        pixels: whether the columns are the pixels of images, of which some may be constant.
    """
    largest = float(np.abs(values).max())
    whole = largest < exact and bool((values == np.round(values)).all())
    if whole and (problem := _of_whole_numbers(values, name, largest, pixels)):
        return ColumnCheck(dequantize, problem)
    if whole and dequantize:
        return ColumnCheck(True)
    distinct, counts = np.unique(values, return_counts=True)
    if whole:
        remedy = 'if they are rounded measurements or counts, set integers = "dequantize" in [data]'
        text = (
            f"column {name!r} holds only whole numbers ({len(distinct)} different ones): the "
            "density of a discrete column has no bound"
        )
        return ColumnCheck(False, Problem(name, "whole numbers", text, remedy))
    return ColumnCheck(False, _of_numbers(values, name, distinct, counts))


def _of_whole_numbers(
    values: NDArray[np.float64], name: str, largest: float, pixels: bool
) -> Problem | None:
    if largest >= MAX_INTEGER:
        return Problem(
            name,
            "large whole numbers",
            f"column {name!r} holds whole numbers up to {largest:g}, to which float32 cannot add "
            "noise of half a step",
            "subtract an offset",
        )
    if pixels:
        return None
    low, high = float(values.min()), float(values.max())
    if low == high:
        return Problem(
            name,
            "constant",
            f"column {name!r} is {low:g} in every row: there is nothing to model",
            "if the rows are images, set shape = [channels, height, width] in [data]",
        )
    if high - low == len(values) - 1 and len(np.unique(values)) == len(values):
        text = f"column {name!r} numbers the rows, from {low:g} to {high:g}"
        return Problem(name, "index", text)
    return _marker_problem(values, name, *np.unique(values, return_counts=True))


def _of_numbers(
    values: NDArray[np.float64],
    name: str,
    distinct: NDArray[np.float64],
    counts: NDArray[np.intp],
) -> Problem | None:
    fewest = min(MIN_DISTINCT_VALUES, len(values))
    if len(distinct) < fewest or len(distinct) < MIN_DISTINCT_SHARE * len(values):
        some = ", ".join(f"{value:g}" for value in distinct[:5])
        return Problem(
            name,
            "few values",
            f"column {name!r} holds only {len(distinct)} different values "
            f"({some}{'…' * (len(distinct) > 5)}) in {len(values)} rows: it is discrete or "
            "rounded, and its density has no bound",
        )
    if counts.max() > max(MAX_SHARE_OF_ONE_VALUE * len(values), 2):
        return Problem(
            name,
            "one value",
            f"column {name!r} is {distinct[counts.argmax()]:g} in {counts.max()} of {len(values)} "
            "rows: a density has no bound at a value of such weight",
        )
    if problem := _marker_problem(values, name, distinct, counts):
        return problem
    kept = len(np.unique(distinct.astype(np.float32)))
    if kept < MIN_SHARE_KEPT_IN_FLOAT32 * len(distinct):
        return Problem(
            name,
            "float32",
            f"column {name!r} has {len(distinct)} different values, of which float32 can tell "
            f"only {kept} apart (they lie between {distinct[0]:g} and {distinct[-1]:g})",
            "subtract an offset",
        )
    return None


def _marker_problem(
    values: NDArray[np.float64],
    name: str,
    distinct: NDArray[np.float64],
    counts: NDArray[np.intp],
) -> Problem | None:
    found = marker(distinct, counts)
    if found is None:
        return None
    return Problem(
        name,
        "marker",
        f"column {name!r} is {found[0]:g} in {found[1]} of {len(values)} rows, far from all "
        "other values: it seems to stand for a missing value",
        "leave such rows out",
    )


def text_problem(name: str, text: TextColumn, place: str) -> Problem:
    """Why a column of something else than numbers cannot be modelled.

    Args:
        name: of the column.
        text: what it holds.
        place: where the file has the first value that is no number.
    """
    shown = f"{text.first!r:.60}"
    if text.is_mostly_numbers:
        others = f", nor are {text.count - 1} more of {text.values} values" * (text.count > 1)
        why = f", which {text.cause}" if text.cause else ""
        return Problem(
            name,
            "text among numbers",
            f"column {name!r}: {shown} in {place}{why}, is no number{others}",
            "write numbers alone, with a decimal point, and leave rows with gaps out",
        )
    said = f"column {name!r} holds {text.kind} (such as {shown}), and a flow models numbers"
    if 2 <= text.distinct <= MAX_CLASSES and text.rarest >= MIN_ROWS_OF_A_CLASS:
        remedy = f'condition the flow on it as a class with labels = "{name}" in [data]'
        return Problem(name, "text", said, remedy)
    return Problem(name, text.kind, said)
