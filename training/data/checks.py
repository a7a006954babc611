"""Checks that the columns of a table have a bounded density, alone and together.

All problems of a table are found before any is said: who has a table with seven of them mends it
once, not seven times.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.tables import combinations, outlier, sampled_rows, twins
from training.data.column_checks import Problem, check_column, text_problem
from training.data.readers import Table
from training.errors import DataError

# Rows or columns are checked this many numbers at a time: files may be larger than memory.
NUMBERS_AT_ONCE = 2**24

# Problems of one kind that an error describes one by one, and columns that it names.
MOST_DESCRIBED = 4
MOST_NAMED = 8
# More columns than this are no table of which some are left out.
MOST_DROPPED = 50


@dataclass(frozen=True)
class ColumnRanges:
    """Of each column: whether its values are integers, and their range.

    Args:
        integer: whether the column holds whole numbers that are to be dequantised.
        low, high: its smallest and its largest value.
    """

    integer: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass
class Findings:
    """What checks have found.

    Args:
        ranges: of the checked columns; meaningless for a column with a problem.
        problems: why columns have no density.
        notes: what may be wrong, for people.
    """

    ranges: ColumnRanges
    problems: list[Problem]
    notes: list[str]


def check_types(table: Table) -> None:
    """Check that the rows are numbers.

    Raises:
        DataError: they are of another type.
    """
    if table.rows.dtype.kind not in "fiu":
        raise DataError(
            f"expected numbers, the data holds {table.rows.dtype}: a flow models numbers"
        )


def check(
    table: Table, modelled: Sequence[int], *, integers: str, pixels: bool, smooth: bool
) -> Findings:
    """Check the columns of a table.

    Args:
        table: numbers.
        modelled: indices of the columns that are modelled; the others condition.
        integers: `refuse` or `dequantize`, of whole-number columns.
        pixels: whether the columns are pixels of images or samples of sounds, which may be constant
            or alike.
        smooth: whether noise is added to every value, after which no column follows from others.
    """
    problems = [
        text_problem(name, text, table.place(text.row)) for name, text in table.texts.items()
    ]
    notes: list[str] = []
    finite, gaps = _finite_rows(table)
    problems += gaps
    ranges = _check_columns(table, modelled, finite, integers, pixels, problems, notes)
    if not smooth:
        problems += _combinations(table, modelled, ranges.integer, problems, notes)
    return Findings(ranges, problems, notes)


def refuse(problems: Sequence[Problem], table: Table, name: str) -> None:
    """Say all problems of a table at once.

    Args:
        problems: of its columns.
        table: the table.
        name: of its source, for people.

    Raises:
        DataError: there are problems.
    """
    if not problems:
        return
    columns = list(dict.fromkeys(problem.column for problem in problems))
    droppable = table.array_shape is None and table.sound is None and len(columns) <= MOST_DROPPED
    if len(columns) == 1 and len(problems) == 1:
        text, remedy = problems[0].text, problems[0].remedy
        leave_out = f'leave it out with drop = ["{columns[0]}"] in [data]' if droppable else ""
        advice = ", or ".join(filter(None, [remedy, leave_out]))
        raise DataError(f"{name}: {text}; {advice}" if advice else f"{name}: {text}")
    lines = [f"  {line}" for line in _by_kind(problems)]
    if droppable:
        names = ", ".join(f'"{name}"' for name in columns)
        lines.append(f"To leave them all out: drop = [{names}] in [data]")
        lines.append('To model them as they are: family = "tabular" in [flow]')
    elif table.array_shape is not None:
        shape = " × ".join(map(str, table.array_shape))
        image = [1, *table.array_shape] if len(table.array_shape) == 2 else [*table.array_shape]
        lines.append(
            f"A row of the file is an array of {shape}: for images set shape = {image} and, for "
            'whole numbers, integers = "dequantize" in [data]'
        )
    raise DataError("\n".join([f"{name}: {len(columns)} columns cannot be modelled:", *lines]))


def _by_kind(problems: Sequence[Problem]) -> Iterator[str]:
    """What is wrong: of each kind the first few problems, then the names of the other columns."""
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(problem.kind, []).append(problem)
    for alike in kinds.values():
        described = alike if len(alike) <= MOST_DESCRIBED else alike[:1]
        for problem in described:
            yield f"{problem.text}{f'; {problem.remedy}' if problem.remedy else ''}"
        if others := alike[len(described) :]:
            yield f"  and so do {len(others)} more columns: {_named([p.column for p in others])}"


def _named(names: Sequence[str]) -> str:
    """Names for people, the first few of many."""
    told = ", ".join(map(repr, names[:MOST_NAMED]))
    return told + f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)


def float32(
    rows: NDArray[np.generic], indices: NDArray[np.intp], columns: Sequence[int]
) -> NDArray[np.float32]:
    """Select columns of some rows: N × D → len(indices) × len(columns)."""
    selected = np.empty((len(indices), len(columns)), np.float32)
    step = rows_at_once(rows)
    for first in range(0, len(indices), step):
        selected[first : first + step] = rows[indices[first : first + step]][:, columns]
    return selected


def rows_at_once(rows: NDArray[np.generic]) -> int:
    """How many rows are in memory at a time."""
    columns: int = rows.shape[1]
    return max(1, NUMBERS_AT_ONCE // max(1, columns))


def _finite_rows(table: Table) -> tuple[NDArray[np.bool_] | None, list[Problem]]:
    """Which values are finite in float32, N × D, or None if all are; the columns with others."""
    rows = table.rows
    if rows.dtype.kind in "iu":
        return None, []
    finite: NDArray[np.bool_] | None = None
    step = rows_at_once(rows)
    for first in range(0, len(rows), step):
        with np.errstate(over="ignore"):
            block = np.isfinite(rows[first : first + step].astype(np.float32))
        if not block.all():
            if finite is None:
                finite = np.ones(rows.shape, bool)
            finite[first : first + step] = block
    if finite is None:
        return None, []
    problems = []
    for column in np.flatnonzero(~finite.all(0)):
        wrong = np.flatnonzero(~finite[:, column])
        name, value = table.columns[column], rows[wrong[0], column]
        others = f", and so are {len(wrong) - 1} more of {len(rows)} values" * (len(wrong) > 1)
        problems.append(
            Problem(
                name,
                "not finite",
                f"column {name!r} has no finite float32 number in {table.place(int(wrong[0]))} "
                f"({value}){others}",
                "leave such rows out",
            )
        )
    return finite, problems


def _check_columns(
    table: Table,
    modelled: Sequence[int],
    finite: NDArray[np.bool_] | None,
    integers: str,
    pixels: bool,
    problems: list[Problem],
    notes: list[str],
) -> ColumnRanges:
    """The ranges of columns, looked at a few at a time; what is found goes into the lists."""
    rows, names = table.rows, table.columns
    exact = 2.0**24 if rows.dtype in (np.float32, np.float16) else 2.0**53
    integer: list[bool] = []
    ranges: list[tuple[float, float]] = []
    first_by_digest: dict[bytes, str] = {}  # the first column with these values
    step = max(1, NUMBERS_AT_ONCE // max(1, len(rows)))
    for start in range(0, len(modelled), step):
        block = list(modelled[start : start + step])
        for i, values in zip(block, rows[:, block].T.astype(np.float64, order="C"), strict=True):
            if finite is not None:
                values = values[finite[:, i]]
            if not len(values):
                integer.append(False)
                ranges.append((0.0, 0.0))
                continue
            whole, problem = check_column(
                values, names[i], dequantize=integers == "dequantize", exact=exact, pixels=pixels
            )
            integer.append(whole)
            ranges.append((float(values.min()), float(values.max())))
            digest = hashlib.sha256(values.tobytes()).digest()
            other = first_by_digest.setdefault(digest, names[i])
            if problem is None and other != names[i] and not (whole and pixels):
                text = (
                    f"column {names[i]!r} repeats column {other!r} in every row: together they "
                    "have no density"
                )
                problem = Problem(names[i], "repeats", text)
            if problem is not None:
                problems.append(problem)
            elif not whole and finite is None and (found := outlier(values)):
                notes.append(_outlier_note(table, i, values, *found))
    low, high = np.array(ranges).reshape(-1, 2).T
    return ColumnRanges(np.array(integer, bool), low, high)


def _outlier_note(
    table: Table, column: int, values: NDArray[np.float64], row: int, share: float
) -> str:
    return (
        f"column {table.columns[column]!r} is {values[row]:g} in {table.place(row)}, which makes "
        f"{100 * share:.3g} % of its variance: standardized, all other values are nearly alike; "
        'leave that row out, or set preprocessing = "normal-marginals" in [flow]'
    )


def _combinations(
    table: Table,
    modelled: Sequence[int],
    integer: NDArray[np.bool_],
    problems: Sequence[Problem],
    notes: list[str],
) -> list[Problem]:
    """The columns that follow from others, of those that have no problem of their own."""
    refused = {problem.column for problem in problems}
    columns = [
        i
        for i, whole in zip(modelled, integer, strict=True)
        if not whole and table.columns[i] not in refused
    ]
    chosen = sampled_rows(len(table.rows), len(columns))
    if chosen is None:
        return []
    names = [table.columns[i] for i in columns]
    sample = table.rows[np.sort(chosen)][:, columns].astype(np.float64)
    found = []
    for column, others in combinations(sample):
        told = _named([names[i] for i in others])
        text = (
            f"column {names[column]!r} follows from {told}, as a copy in other units or a total "
            "does: together they have no density"
        )
        found.append(Problem(names[column], "follows", text))
    said = {problem.column for problem in found}
    for later, earlier in twins(sample):
        if not {names[later], names[earlier]} & said:
            notes.append(
                f"column {names[later]!r} is column {names[earlier]!r} in other units, up to "
                "rounding: the score of such twins says how they are rounded; leave one out with "
                f'drop = ["{names[later]}"] in [data]'
            )
    return found
