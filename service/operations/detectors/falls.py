"""What each column adds to the score of a row: by how much it falls with usual values instead.

The usual values of a column are those which the reference rows nearest by the other columns have. A
row is scored again with each of them in the place of its own; the fall of the score, at the value
that lowers it most, is what the column adds.

Columns that are wrong together explain each other: where an amount and its fee are both thirty
times too large, each is usual beside the other, and neither lowers the score by itself. So in rows
that no single column explains the leading columns get usual values first, and then the others
beside them. What two columns lower the score by together, beyond what each does by itself, is added
by the two in equal parts, as in a game of two players (Shapley, 1953); of several partners of a
column the one with which it adds most counts.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.operations.answer import NUMBERS_PER_P_VALUE
from service.operations.checked_runs import CheckedRuns
from service.operations.context import classes_of
from service.operations.in_pieces import patiently, rows_at_once
from service.store import Model
from service.types import Float64, Floats

# Of 190 frauds found in tables of payments, with one cause each of five, the cause is among three
# columns in 86.8 % without pairs, in 97.9 % with two leading columns (in 88.9 % with one, in 97.4 %
# with three), and first in 83.6 % in each case; values beyond the nearest row's change nothing.
LEADING = 2

# A column explains a row where the score that it leaves is no rarer than this among normal rows: of
# amounts with their fees all 20 are named at 0.05, 13 at 0.02.
EXPLAINED = 0.05

# What a pair adds counts from this part of the row's largest fall on: less is chance, or rounding.
LEAST_PART = 0.1


class Falls(NamedTuple):
    """What is found of rows.

    Args:
        added: N × D, what each column adds to the score, from 0.
        expected: N × D × K, the values that the columns are expected to have; of a column that adds
            something beside another one, where that one has a usual value.
    """

    added: Float64
    expected: Float64


class _Tried(NamedTuple):
    """Rows whose columns have been replaced, one at a time.

    Args:
        lowest: N × D, the lowest score with another value in the column; infinite without any.
        best: N × D, that value.
        values: N × D × K, the usual values.
    """

    lowest: Float64
    best: Float64
    values: Float64


class _Paired(NamedTuple):
    """Rows with a usual value in one of their leading columns, of which each has L.

    Args:
        leading: M × L, the columns.
        x: M L × event shape.
        context: M L × columns, if the model is conditional.
        is_tried: M L × D × K: of every other column the nearest row's value.
    """

    leading: NDArray[np.intp]
    x: Floats
    context: Floats | None
    is_tried: NDArray[np.bool_]


async def falls_of(
    runs: CheckedRuns,
    model: Model,
    x: Floats,
    context: Floats | None,
    score: Float64,
    has_falls: NDArray[np.bool_],
    deadline: float,
) -> Falls:
    """What each column adds to the score of each row.

    Args:
        runs: of the operations.
        model: the detector; it has a calibration.
        x: N × event shape.
        context: N × columns, if the model is conditional.
        score: N, of these rows.
        has_falls: N, of which rows it is asked; of the others nothing is added.
        deadline: on `time.monotonic`'s clock.
    """
    is_tried = has_falls[:, None, None]
    alone = await _tried(runs, model, x, context, is_tried, deadline)
    falls, unexplained = await runs.threads.run(
        NUMBERS_PER_P_VALUE * len(x), _alone, model, context, score, alone.lowest, deadline=deadline
    )
    added, expected = falls.copy(), alone.values.copy()
    numbers = LEADING * alone.values[:1].size
    at_once = rows_at_once(max(1, numbers))
    for start in range(0, len(unexplained), at_once):
        of = unexplained[start : start + at_once]
        paired = await runs.threads.run(
            numbers * len(of), _paired, x, context, alone, falls, of, deadline=deadline
        )
        both = await _tried(runs, model, paired.x, paired.context, paired.is_tried, deadline)
        added[of], expected[of] = await runs.threads.run(
            numbers * len(of), _together, falls, alone, of, paired.leading, both, deadline=deadline
        )
    return Falls(added, expected)


def _alone(
    model: Model, context: Floats | None, score: Float64, lowest: Float64
) -> tuple[Float64, NDArray[np.intp]]:
    """By how much each column lowers the score by itself, and the rows that none of them explains.

    Returns:
        N × D, from 0; numbers of rows.
    """
    assert model.calibration is not None
    with np.errstate(invalid="ignore"):
        falls = score[:, None] - lowest
    falls = np.where(np.isfinite(falls) & (falls > 0), falls, 0.0)
    largest = falls.max(1)
    left = model.calibration.p_values(score - largest, None, classes_of(model, context))
    return falls, np.flatnonzero((left <= EXPLAINED) & (largest > 0))


async def _tried(
    runs: CheckedRuns,
    model: Model,
    x: Floats,
    context: Floats | None,
    is_tried: NDArray[np.bool_],
    deadline: float,
) -> _Tried:
    """Replace the columns of rows, one at a time.

    Args:
        runs, model, x, context, deadline: see `falls_of`.
        is_tried: which values are, as far as they are not the row's own: to be broadcast to
            N × D × K.
    """
    assert model.detector is not None
    n, d, k = len(x), model.detector.dimensions, model.detector.neighbours
    asked = partial(model.engine.neighbours, x, context, deadline)
    values: Float64 = (await patiently(1, asked))["values"].reshape(n, d, k)
    places = await runs.threads.run(values.size, _others, x, values, is_tried, deadline=deadline)
    scores = np.full(values.size, np.inf)
    at_once = rows_at_once(d)
    for start in range(0, len(places), at_once):
        chosen = places[start : start + at_once]
        replaced = await runs.threads.run(
            len(chosen) * d, _replaced, x, values, chosen, deadline=deadline
        )
        beside = None if context is None else context[chosen // (d * k)]
        asked = partial(model.engine.score, replaced, beside, ("score",), deadline)
        scored = (await patiently(1, asked))["score"]
        # a value that has no score lowers none
        scores[chosen] = np.where(np.isfinite(scored), scored, np.inf)
    of_values = scores.reshape(n, d, k)
    best = of_values.argmin(2)[:, :, None]
    lowest, value = (np.take_along_axis(each, best, 2)[:, :, 0] for each in (of_values, values))
    return _Tried(lowest, value, values)


def _others(x: Floats, values: Float64, is_tried: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of the values that are tried and not the row's own."""
    own = x.reshape(len(values), -1)[:, :, None]
    return np.flatnonzero(is_tried & (values != own) & ~(np.isnan(values) & np.isnan(own)))


def _replaced(x: Floats, values: Float64, places: NDArray[np.intp]) -> Floats:
    """Rows with one value each from `values` (N × D × K) in the place of their own."""
    row, column, _ = np.unravel_index(places, values.shape)
    flat: Floats = x.reshape(len(x), -1)[row]
    flat[np.arange(len(places)), column] = values.reshape(-1)[places]
    return flat.reshape(-1, *x.shape[1:])


def _paired(
    x: Floats, context: Floats | None, alone: _Tried, falls: Float64, of: NDArray[np.intp]
) -> _Paired:
    """Rows with usual values in their leading columns.

    Args:
        x, context, alone, falls: of all rows.
        of: M, the numbers of those that are asked for.
    """
    leading = np.argsort(-falls[of], axis=1, kind="stable")[:, :LEADING]
    many = leading.shape[1]
    flat: Floats = np.repeat(x.reshape(len(x), -1)[of], many, 0)
    each, column = np.arange(len(flat)), leading.ravel()
    flat[each, column] = np.take_along_axis(alone.best[of], leading, 1).ravel()
    is_tried = np.zeros((len(flat), *alone.values.shape[1:]), bool)
    is_tried[:, :, 0] = True
    is_tried[each, column] = False
    beside = None if context is None else np.repeat(context[of], many, 0)
    return _Paired(leading, flat.reshape(-1, *x.shape[1:]), beside, is_tried)


def _together(
    falls: Float64, alone: _Tried, of: NDArray[np.intp], leading: NDArray[np.intp], both: _Tried
) -> tuple[Float64, Float64]:
    """What the columns of rows add by themselves and in pairs, and the values expected of them.

    Args:
        falls, alone: of all rows, by single columns.
        of: M, the numbers of those that are asked for.
        leading: M × L, see `_Paired`.
        both: of M L rows, with a usual value in a leading column.

    Returns:
        M × D; M × D × K.
    """
    falls = falls[of]
    m, d = falls.shape
    lowest = both.lowest.reshape(m, -1, d)
    by_leading = np.take_along_axis(falls, leading, 1)
    left = np.take_along_axis(alone.lowest[of], leading, 1)
    left = np.where(by_leading > 0, left, -np.inf)
    # of each leading column and each other one
    more = left[:, :, None] - lowest - falls[:, None]
    more = np.where(more >= LEAST_PART * falls.max(1)[:, None, None], more, 0.0)
    gain = more.max(1)
    partner = more.argmax(1)
    for i, column in enumerate(leading.T):
        row = np.arange(m)
        gain[row, column] = np.maximum(gain[row, column], more[:, i].max(1))
    values = both.values.reshape(m, -1, *both.values.shape[1:])
    beside = np.take_along_axis(values, partner[:, None, :, None], 1)[:, 0]
    has_partner = (more.max(1) > 0)[:, :, None]
    return falls + gain / 2, np.where(has_partner, beside, alone.values[of])
