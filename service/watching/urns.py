"""Online conformal p-values in bounded memory: ranks among a reference and the stream so far.

The rank of a value among m reference values and all of the stream before it needs the whole
stream. These p-values need a count for each interval between some of the reference values, and are
exact all the same. Where reference and stream are exchangeable, and ties are broken at random, the
next value falls into each of the m + 1 gaps between the reference values with a probability in
proportion to 1 + the stream's values that have fallen there: a Pólya urn. The colours of such an
urn may be merged, so intervals of several gaps are an urn again, of their numbers of gaps. Given
all before it, the value falls into its interval with a known probability, and

    p = (values in the intervals above + t · values in its own) / all,    t uniform in (0, 1),

with a gap counted as one value, is uniform and independent of all p before it. This holds for any
number of intervals; few of them cost power alone. With as many intervals as there are gaps it is
the p-value of Vovk, Nouretdinov and Gammerman (Testing exchangeability on-line, ICML 2003), but
for values of the stream between the same two reference values, which count as ties.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.conformal import Urn
from service.types import Float64

BLOCK_ROWS = 32
"""Rows that are compared with each other at a time: of 8, 16, 32 and 64 the fastest."""

Ints = NDArray[np.int32]


class Urns:
    """Several urns, and the values of a stream in them.

    Args:
        urns: of which each value of the stream falls into one.

    Attributes:
        counts: of each interval of all urns, one urn after another.
    """

    def __init__(self, urns: Sequence[Urn]) -> None:
        self._edges = np.concatenate([urn.edges for urn in urns])
        sizes = np.array([len(urn.gaps) for urn in urns])
        self._starts = np.append(0, np.cumsum(sizes)).astype(np.int32)
        self._halvings = int(sizes.max()).bit_length()
        self.counts = np.concatenate([urn.gaps for urn in urns])
        number = np.repeat(np.arange(len(urns)), sizes)
        self._start_of = self._starts[number]
        self._end_of = self._starts[number + 1]

    def intervals(self, urns: NDArray[np.intp], values: Float64, ties: Float64) -> Ints:
        """The interval of each value, numbered through all urns.

        Args:
            urns: rows × values of a row, the number of the urn of each.
            values: the same shape.
            ties: the same shape, uniform in (0, 1), which break ties with the reference.
        """
        keys = np.empty(values.shape, np.complex128)
        keys.real, keys.imag = values, ties
        # an urn has an edge less than intervals; all values are sought at once, by halving
        low, high = self._starts[urns] - urns, self._starts[urns + 1] - urns - 1
        for _ in range(self._halvings):
            middle = (low + high) // 2
            is_above = (low < high) & (self._edges[np.minimum(middle, len(self._edges) - 1)] < keys)
            low, high = np.where(is_above, middle + 1, low), np.where(is_above, high, middle)
        return np.asarray(low + urns, np.int32)

    def p_values(self, intervals: Ints, ties: Float64) -> Float64:
        """The p-value of each value among all before it, which are counted in the end.

        A row's values are in different urns. A large value has a small p-value.

        Args:
            intervals: rows × values of a row.
            ties: the same shape, uniform in (0, 1), which break ties within intervals.
        """
        p = np.empty(intervals.shape)
        for start in range(0, len(intervals), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            p[block] = self._block(intervals[block], ties[block])
        return p

    def _block(self, intervals: Ints, ties: Float64) -> Float64:
        # how many are counted in an interval and all behind it, in urns that come later too
        behind = np.append(np.cumsum(self.counts[::-1])[::-1], 0.0)
        start, end = self._start_of[intervals], self._end_of[intervals]
        above, same = behind[intervals + 1] - behind[end], self.counts[intervals]
        total = behind[start] - behind[end]
        # and of the block's own rows those before each, by row, row before it, and value
        before = np.tri(len(intervals), k=-1, dtype=bool)[:, :, None]
        others, own = intervals[None], intervals[:, None]
        is_behind = before & (others < end[:, None])
        above += _number((others > own) & is_behind)
        same += _number((others == own) & is_behind)
        total += _number((others >= start[:, None]) & is_behind)
        np.add.at(self.counts, intervals.ravel(), 1.0)
        p: Float64 = (above + ties * same) / total
        return p


def _number(are: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """How many are true along the second side, of up to 255."""
    return np.asarray(np.add.reduce(are.view(np.uint8), axis=1, dtype=np.uint8))
