"""Bets on the ranks of a stream's values, in arrays that can be kept."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.conformal import Urn
from service.types import Float64
from service.watching.martingales import Martingales, State, check_alike
from service.watching.urns import Urns


class RankedBets:
    """Urns, and the martingales over the p-values that they give.

    Args:
        urns: of all sequences.
        bets: the martingales, a sequence for each value of a row.
        keeps_edges: whether a state has the edges too: of urns that are made by chance each time.
    """

    def __init__(self, urns: Sequence[Urn], bets: Martingales, keeps_edges: bool = False) -> None:
        self._given = urns
        self._keeps_edges = keeps_edges
        self.urns = Urns(urns)
        self.bets = bets

    def bet(self, intervals: NDArray[np.int32], ties: Float64) -> Float64:
        """Rank rows and bet on their p-values."""
        return self.bets.bet(self.urns.p_values(intervals, ties))

    def state(self) -> State:
        """Arrays from which `restored` makes the same."""
        kept = {"counts": self.urns.counts, **self.bets.state()}
        if self._keeps_edges:
            kept["edges"] = np.concatenate([urn.edges for urn in self._given])
        return kept

    def restored(self, state: State) -> "RankedBets":
        """The same with what a state says.

        Raises:
            KeyError, ValueError: it is of others.
        """
        check_alike(self.state(), state)
        bets, counts = self.bets.restored(state), state["counts"]
        if not np.isfinite(counts).all() or (counts < 1).any():
            raise ValueError("it has counts that no test has")
        urns = self._given
        if self._keeps_edges:
            sizes = np.cumsum([len(urn.edges) for urn in urns])[:-1]
            edges = np.split(state["edges"], sizes)
            urns = [urn._replace(edges=its) for urn, its in zip(urns, edges, strict=True)]
        found = RankedBets(urns, bets, self._keeps_edges)
        found.urns.counts = counts
        return found
