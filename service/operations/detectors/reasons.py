"""Which columns raise the score of a row: by how much it falls where a column has a usual value.

The usual values of a column are those which the reference rows nearest by the other columns have.
A row is scored again with each of them in the place of its own; the fall of the score, at the value
that lowers it most, is what the column adds.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import DetectorManifest
from service.errors import InvalidInputError, TooLargeError
from service.operations.answer import NUMBERS_PER_REASON
from service.operations.checked_runs import CheckedRuns
from service.operations.in_pieces import patiently, rows_at_once
from service.store import Model
from service.tables import Column, Unfamiliar, to_values
from service.types import Float64, Floats

MAX_REPLACED_ROWS = 2**16
"""Rows that the reasons of a request may have scored: rows × columns × values in place of each."""

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
    """The columns that raise the score of each row, the largest share first.

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
        asked = partial(model.engine.neighbours, part.x, part.context, deadline)
        values = (await patiently(1, asked))["values"].reshape(-1, d, k)
        falls = await _falls(runs, model, part, values, deadline)
        numbers = NUMBERS_PER_REASON * len(values) * min(most, d)
        found += await runs.threads.run(
            numbers, _named, model, part, values, falls, most, deadline=deadline
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


async def _falls(
    runs: CheckedRuns, model: Model, rows: ReasonedRows, values: Float64, deadline: float
) -> Float64:
    """By how much the score falls at most with another value in each column: n × D, from 0."""
    n, d, k = values.shape
    places = await runs.threads.run(values.size, _others, rows, values, deadline=deadline)
    lowest = np.repeat(rows.score.astype(np.float64), d)
    at_once = rows_at_once(d)
    for start in range(0, len(places), at_once):
        chosen = places[start : start + at_once]
        replaced = await runs.threads.run(
            len(chosen) * d, _replaced, rows.x, values, chosen, deadline=deadline
        )
        context = None if rows.context is None else rows.context[chosen // (d * k)]
        asked = partial(model.engine.score, replaced, context, ("score",), deadline)
        scored = (await patiently(1, asked))["score"]
        # a value that has no score lowers none
        np.fmin.at(lowest, chosen // k, np.where(np.isfinite(scored), scored, np.nan))
    falls: Float64 = rows.score[:, None] - lowest.reshape(n, d)
    return falls


def _others(rows: ReasonedRows, values: Float64) -> NDArray[np.intp]:
    """Places of the values that are not the row's own, of rows inside the support."""
    own = rows.x.reshape(len(values), -1)[:, :, None]
    is_other = (values != own) & ~(np.isnan(values) & np.isnan(own))
    is_other[rows.impossible.any(1)] = False
    return np.flatnonzero(is_other)


def _replaced(x: Floats, values: Float64, places: NDArray[np.intp]) -> Floats:
    """Rows with one value each from `values` (n × D × K) in the place of their own."""
    row, column, _ = np.unravel_index(places, values.shape)
    flat: Floats = x.reshape(len(x), -1)[row]
    flat[np.arange(len(places)), column] = values.reshape(-1)[places]
    return flat.reshape(-1, *x.shape[1:])


def _named(
    model: Model, rows: ReasonedRows, values: Float64, falls: Float64, most: int
) -> list[Reasons]:
    """The reasons of rows: falls of the score as shares, and values as callers know them."""
    n, d = falls.shape
    outside = rows.impossible.any(1)
    constants = [each for each in rows.unfamiliar if each.sort == "changed_constants"]
    falls = np.concatenate([falls, np.zeros((n, len(constants)))], 1)
    falls = np.where(np.isfinite(falls), falls, 0.0)
    if outside.any():
        falls[outside] = rows.impossible[outside]
    total = falls.sum(1, keepdims=True)
    shares = np.divide(falls, total, out=np.zeros_like(falls), where=total > 0)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :most]
    chosen = np.take_along_axis(shares, order, 1) > 0
    row_of, rank = np.nonzero(chosen)
    column_of = order[row_of, rank]
    described: list[tuple[Any, Any, list[Any]]] = [(None, None, [])] * len(row_of)
    for j in np.unique(column_of).tolist():
        of = np.flatnonzero(column_of == j)
        if j < d:
            told = _of_column(model, rows, values, j, row_of[of])
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
