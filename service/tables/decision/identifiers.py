"""Whether a column of numbers tells rows apart instead of saying anything about them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64
from service.tables.decision.understood import Understood

# An identifier is another one in this share of the rows.
MIN_DISTINCT_SHARE = 0.99

# Of fewer rows nothing can be said.
MIN_ROWS = 10

# Numbers without repeats, where draws would repeat: so many deviations of the expected repeats.
MIN_DEVIATIONS = 4.0

# Of fewer numbers it does not show whether they lie evenly. Of columns that do, one in a hundred is
# farther from it, times √n (Kolmogorov and Smirnov).
MIN_DRAWN = 200
MAX_UNEVENNESS = 1.63

# Whole numbers between these are likely seconds since 1970: from 1990 to 2039.
SECONDS = 631_152_000, 2_177_452_800

# Share of another column's variance that neighbours in the order of an identifier have in common.
MAX_SHARE_EXPLAINED = 0.2
MIN_STANDARD_ERRORS = 5.0


def is_mostly_distinct(distinct: int, rows: int) -> bool:
    """Whether so many different values among the rows can identify them."""
    return rows >= MIN_ROWS and distinct >= MIN_DISTINCT_SHARE * rows


def has_too_few_repeats(distinct: int, rows: int, cells: float) -> bool:
    """Whether numbers repeat so rarely that they were given out one after the other.

    Rows that draw their values from `cells` equally likely ones repeat rows² / (2 cells) times, and
    more often from any other distribution (the birthday problem). What is counted out, as the
    numbers of rows or of a part of them, does not repeat, in whatever order it stands.
    """
    expected = rows * (rows - 1) / (2 * cells)
    repeats = rows - distinct
    return repeats < expected - MIN_DEVIATIONS * expected**0.5 and expected > 9


def is_consecutive(values: Float64, step: float) -> bool:
    """Whether sorted different values are each one step from the next."""
    return bool(values[-1] - values[0] < (len(values) - 0.5) * step)


def look_drawn(values: Float64) -> bool:
    """Whether sorted different numbers lie as whole numbers that were drawn from a wide range do.

    Numbers of customers that are no count, say: each number of the range is as likely. What is
    measured is so for few columns, and seldom all different.
    """
    if len(values) < MIN_DRAWN or not (values == np.rint(values)).all():
        return False
    if SECONDS[0] <= values[0] and values[-1] <= SECONDS[1]:
        return False
    even = np.linspace(values[0], values[-1], len(values))
    unevenness = float(np.abs(values - even).max() / (values[-1] - values[0]))
    return unevenness < MAX_UNEVENNESS / math.sqrt(len(values))


def share_explained(order: Float64, others: Sequence[Understood], rows: NDArray[np.intp]) -> float:
    """How much of the other columns neighbours in an order have in common; 0 for nothing.

    Of numbers it is 1 minus half the mean squared difference of neighbours' ranks over the variance
    of the ranks (von Neumann's ratio, 1941); of classes how much more often than by chance
    neighbours are of one class. The largest of all columns is taken, unless chance explains it.

    Args:
        order: N, the column in question; NaN where missing.
        others: other columns, N each.
        rows: numbers of those that are looked at: copies beside each other have all in common.
    """
    order = order[rows]
    sequence = rows[np.argsort(order, kind="stable")[: len(order) - int(np.isnan(order).sum())]]
    shares = [0.0]
    for values in [each.values.astype(np.float64) for each in others if each.form != "classes"]:
        present = values[sequence]
        present = present[~np.isnan(present)]
        if len(present) >= MIN_ROWS:
            _, places = np.unique(present, return_inverse=True)
            counts = np.bincount(places)
            ranks = (np.cumsum(counts) - counts / 2)[places]
            variance = float(ranks.var())
            if variance > 0:
                difference = float((np.diff(ranks) ** 2).mean()) / 2
                shares.append(_beyond_chance(1 - difference / variance, len(present)))
    for codes in [each.values.astype(np.int64) for each in others if each.form == "classes"]:
        ordered = codes[sequence]
        shared = np.unique(ordered, return_counts=True)[1] / len(ordered)
        by_chance = float((shared * shared).sum())
        if by_chance < 1:
            equal = float((ordered[1:] == ordered[:-1]).mean())
            shares.append(_beyond_chance((equal - by_chance) / (1 - by_chance), len(ordered)))
    return max(shares)


def _beyond_chance(share: float, rows: int) -> float:
    return share if share * rows**0.5 > MIN_STANDARD_ERRORS else 0.0
