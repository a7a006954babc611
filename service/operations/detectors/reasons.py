"""Which columns raise the score of a row, with the values that they are expected to have."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import DetectorManifest
from service.errors import InvalidInputError, TooLargeError
from service.operations.answer import NUMBERS_PER_REASON
from service.operations.checked_runs import CheckedRuns
from service.operations.detectors.falls import Falls, falls_of
from service.operations.in_pieces import rows_at_once
from service.store import Model
from service.tables import Column, Unfamiliar, to_values
from service.types import Float64, Floats

MAX_REPLACED_ROWS = 2**16
"""Rows that the reasons of a request may have scored for single columns: rows × columns × values in
place of each. Those for pairs of columns, of which `falls.LEADING` values are tried in each other
column, come on top."""

Reasons = list[dict[str, Any]]
"""Of one row: `column`, `value`, `expected` and `share`, as JSON holds them."""


class ReasonedRows(NamedTuple):
    """Rows that have been scored.

    Args:
        x: N × event shape, as the graphs take them.
        seen: the same as the caller sent them.
        impossible: N × (D + C), which values of the columns, and of constants that are left out,
            have no probability, see `SettledRows`; of arrays that are no table N × 0.
        context: N × columns, if the model is conditional.
        score: N, as the graph has it.
        numbers: N, of the rows among those that were sent.
        unfamiliar: what those hold that the data had not.
    """

    x: Floats
    seen: Float64
    impossible: NDArray[np.bool_]
    context: Floats | None
    score: Floats
    numbers: NDArray[np.intp]
    unfamiliar: Sequence[Unfamiliar]


def check_reasons(model: Model, values: Floats) -> None:
    """See that reasons can be given of so many rows.

    Raises:
        InvalidInputError: the detector gives none.
        TooLargeError: the rows are too many.
    """
    detector = model.detector
    assert detector is not None
    if not detector.neighbours:
        raise InvalidInputError(f"reasons: {no_neighbours(detector)}")
    each = detector.dimensions * detector.neighbours
    if values.ndim and len(values) * each > MAX_REPLACED_ROWS:
        raise TooLargeError(
            f"reasons: {len(values)} rows of {detector.dimensions} columns with "
            f"{detector.neighbours} values each are more than the {MAX_REPLACED_ROWS} values "
            f"allowed: ask for {MAX_REPLACED_ROWS // each} rows"
        )


def no_neighbours(detector: DetectorManifest) -> str:
    """Why a detector gives no reasons, and the command that makes a version which does."""
    if detector.columns is None:
        return (
            f"{detector.name} version {detector.version} is of arrays of shape "
            f"{detector.event_shape}, of which no single value is a reason: reasons are of the "
            "columns of tables"
        )
    return (
        f"{detector.name} version {detector.version} holds no rows of its data to compare with: "
        f"`bijecta fit-detector TABLE --name {detector.name} --store STORE --next-version`, "
        "without --no-values, writes a version that does"
    )


async def reasons_of(
    runs: CheckedRuns, model: Model, rows: ReasonedRows, most: int, deadline: float
) -> list[Reasons]:
    """The columns that raise the score of each row, the largest share first, see `falls`.

    The shares of all columns that raise the score of a row sum to 1. Of a row outside the support
    its values without a probability are the reasons, in equal shares; a column that is left out as
    it is constant is one of them. The value of a class that is unknown is the one that was sent.

    Args:
        runs: of the operations.
        model: the detector.
        rows: that have been scored.
        most: columns of a row.
        deadline: on `time.monotonic`'s clock.
    """
    assert model.detector is not None
    d, k = model.detector.dimensions, model.detector.neighbours
    found: list[Reasons] = []
    at_once = rows_at_once(d * k)
    for start in range(0, len(rows.x), at_once):
        part = _part(rows, slice(start, start + at_once))
        score, is_inside = part.score.astype(np.float64), ~np.any(part.impossible, 1)
        falls = await falls_of(runs, model, part.x, part.context, score, is_inside, deadline)
        numbers = NUMBERS_PER_REASON * len(part.x) * min(most, d)
        found += await runs.threads.run(
            numbers, _named, model, part, falls, most, deadline=deadline
        )
    return found


def _part(rows: ReasonedRows, part: slice) -> ReasonedRows:
    context = rows.context
    if context is not None:
        context = np.ascontiguousarray(context[part])
    return ReasonedRows(
        rows.x[part],
        rows.seen[part],
        rows.impossible[part],
        context,
        rows.score[part],
        rows.numbers[part],
        rows.unfamiliar,
    )


def _named(model: Model, rows: ReasonedRows, falls: Falls, most: int) -> list[Reasons]:
    """The reasons of rows: what columns add as shares, and values as callers know them."""
    n, d = falls.added.shape
    outside = rows.impossible.any(1)
    constants = [each for each in rows.unfamiliar if each.sort == "changed_constants"]
    added = np.concatenate([falls.added, np.zeros((n, len(constants)))], 1)
    if outside.any():
        added[outside] = rows.impossible[outside]
    total = added.sum(1, keepdims=True)
    shares = np.divide(added, total, out=np.zeros_like(added), where=total > 0)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :most]
    chosen = np.take_along_axis(shares, order, 1) > 0
    row_of, rank = np.nonzero(chosen)
    column_of = order[row_of, rank]
    described: list[tuple[Any, Any, list[Any]]] = [(None, None, [])] * len(row_of)
    for j in np.unique(column_of).tolist():
        of = np.flatnonzero(column_of == j)
        if j < d:
            told = _of_column(model, rows, falls.expected, j, row_of[of])
        else:
            constant = constants[j - d]
            numbers = rows.numbers[row_of[of]].tolist()
            told = [(constant.column, constant.value(r), [constant.expected]) for r in numbers]
        for place, each in zip(of.tolist(), told, strict=True):
            described[place] = each
    found: list[Reasons] = [[] for _ in range(n)]
    parts = shares[row_of, column_of].tolist()
    for row, (name, value, usual), share in zip(row_of.tolist(), described, parts, strict=True):
        found[row].append({"column": name, "value": value, "expected": usual, "share": share})
    return found


def _of_column(
    model: Model, rows: ReasonedRows, values: Float64, j: int, places: NDArray[np.intp]
) -> list[tuple[Any, Any, list[Any]]]:
    """Of some rows the name of a column, the value as it was sent, and those expected."""
    n, d, k = values.shape
    assert model.detector is not None
    columns = model.detector.named_columns
    column = columns[j] if columns else None
    name = columns[j].name if columns else _place(model, j)
    own = _written(rows.x.reshape(n, d)[places, j], column)
    seen = rows.seen.reshape(n, d)[places, j]
    if columns:
        for i in np.flatnonzero(rows.impossible[places, j]).tolist():
            own[i] = None if np.isnan(seen[i]) else float(seen[i])
    numbers = rows.numbers[places]
    for each in rows.unfamiliar:
        if columns and each.column == name and each.sort != "changed_constants":
            for i in np.flatnonzero(np.isin(numbers, each.rows)).tolist():
                own[i] = each.value(int(numbers[i]))
    usual = _written(values[places, j].ravel(), column)
    return [
        (name, value, list(dict.fromkeys(usual[i * k : (i + 1) * k])))
        for i, value in enumerate(own)
    ]


def _written(values: Float64, column: Column | None) -> list[Any]:
    """Values of a column's own kind, None where missing; of arrays numbers."""
    if column is None:
        numbers: list[Any] = values.tolist()
        return numbers
    (written,) = to_values(values[:, None], [column]).values()
    return written


def _place(model: Model, j: int) -> int | list[int]:
    """Where a coordinate stands in an array."""
    if len(model.event_shape) == 1:
        return j
    return [int(i) for i in np.unravel_index(j, model.event_shape)]
