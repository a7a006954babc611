"""Which rows are trained on, which validate and which test."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.tables import repeat_by_nature, row_digests
from training.config import DividedSource
from training.data.checks import rows_at_once
from training.data.readers import Table
from training.errors import DataError

# Held-out values so many deviations from the training rows have squares that float32 cannot hold.
FARTHEST = 1e15


def repeated_rows(
    rows: NDArray[np.generic],
    source: DividedSource,
    *,
    discrete: str,
    always: bool = True,
) -> tuple[NDArray[np.intp] | None, list[str]]:
    """The number of each row's group of equal rows, and what is said of them.

    None where rows are divided one by one: there are no equal rows, or the source says so, or rows
    repeat by nature.

    Args:
        rows: N × D.
        source: says how rows that repeat are divided.
        discrete: what all columns are, if their rows may repeat by nature; for people.
        always: whether all rows of discrete columns that repeat do so by nature, or those of tables
            of few different ones (`repeat_by_nature`).
    """
    digests = row_digests(rows, rows_at_once(rows))
    distinct, groups = np.unique(digests, axis=0, return_inverse=True)
    repeated = len(rows) - len(distinct)
    if not repeated:
        return None, []
    said = f"{repeated} of {len(rows)} rows repeat other rows"
    if discrete and (always or repeat_by_nature(repeated, len(rows), True)):
        return None, [f"{said}; all columns are {discrete}, and rows are divided one by one"]
    if source.repeated_rows == "apart":
        return None, [f"{said}, and are divided apart: rows that are held out are trained on too"]
    return groups.reshape(-1), [f"{said}: equal rows are divided together"]


def check_held_out(
    table: Table, modelled: list[int], train: NDArray[np.intp], held_out: NDArray[np.intp]
) -> None:
    """Check that held-out rows are not too far out for float32 to score them.

    Raises:
        DataError: one is.
    """
    step = rows_at_once(table.rows)
    total, squares = np.zeros(len(modelled)), np.zeros(len(modelled))
    for first in range(0, len(train), step):
        block = table.rows[train[first : first + step]][:, modelled].astype(np.float64)
        total += block.sum(0)
        squares += (block * block).sum(0)
    mean = total / len(train)
    scale = np.sqrt(np.maximum(squares / len(train) - mean * mean, 0))
    for first in range(0, len(held_out), step):
        indices = held_out[first : first + step]
        block = np.abs(table.rows[indices][:, modelled].astype(np.float64) - mean)
        far = np.argwhere((block > FARTHEST * scale) & (scale > 0))
        if len(far):
            row, column = indices[far[0][0]], modelled[far[0][1]]
            raise DataError(
                f"column {table.columns[column]!r} is {table.rows[row, column]:g} in "
                f"{table.place(int(row))}, which is held out, and so far from the rows to train on "
                "that float32 cannot score it: leave that row out"
            )


def divide(
    sizes: Sequence[int], source: DividedSource, groups: NDArray[np.intp] | None
) -> list[NDArray[np.intp]]:
    """Indices of the rows that are trained on, that validate, and that test.

    Args:
        sizes: numbers of rows: of the source, and of each file that validates or tests.
        source: the shares of the source's rows, or the files.
        groups: of each row; the rows of a group stay together. None if each is alone.
    """
    n = sizes[0]
    rng = np.random.default_rng(source.seed)
    if groups is None:
        order, ends = rng.permutation(n), np.arange(n + 1)
    else:
        places = rng.permutation(int(groups.max()) + 1)[groups[:n]]
        order = np.argsort(places, kind="stable")
        new = np.diff(places[order]) != 0
        ends = np.concatenate([[0], np.flatnonzero(new) + 1, [n]])
    n_validation, n_test = (max(1, round(s * n)) if s else 0 for s in source.shares)
    # the ends of groups that are nearest to the shares
    cuts = [int(ends[np.abs(ends - cut).argmin()]) for cut in (n_test, n_test + n_validation)]
    test, validation, train = np.split(order, cuts)
    _, *held_out = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    if isinstance(source.test, str):
        test = held_out.pop()
    if isinstance(source.validation, str):
        validation = held_out.pop()
    if min(len(test), len(train)) < 2:
        raise DataError(
            f"{n} rows divide into {len(train)} to train on, {len(validation)} to validate "
            f"and {len(test)} to test: at least 2, 1 and 2 are needed; change [data] or add rows"
        )
    return [train[: source.train_rows], validation, test]
