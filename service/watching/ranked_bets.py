"""Bets on the ranks of a stream's values, in arrays that can be kept."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.conformal import Urn
from service.types import Float64
from service.watching.martingales import Martingales
from service.watching.urns import Urns

State = dict[str, NDArray[Any]]


class RankedBets:
    """Urns, and the martingales over the p-values that they give.

    Args:
        urns: of all sequences.
        sequences: values of a row.
    """

    def __init__(self, urns: Sequence[Urn], sequences: int) -> None:
        self._given = urns
        self.urns = Urns(urns)
        self.bets = Martingales(sequences)

    def bet(self, intervals: NDArray[np.int32], ties: Float64) -> Float64:
        """Rank rows and bet on their p-values."""
        return self.bets.bet(self.urns.p_values(intervals, ties))

    def state(self) -> State:
        """Arrays from which `restored` makes the same."""
        return {
            "edges": np.concatenate([urn.edges for urn in self._given]),
            "counts": self.urns.counts,
            "bets": self.bets.bets,
            "scale": self.bets.scale,
            "rows": np.array(self.bets.rows),
        }

    def restored(self, name: str, state: State) -> "RankedBets":
        """The same with what a state says.

        Raises:
            KeyError, ValueError: it is of others.
        """
        own = self.state()
        kept = {key: state[f"{name}.{key}"] for key in own}
        for key, array in own.items():
            if kept[key].shape != array.shape or kept[key].dtype != array.dtype:
                raise ValueError(f"{name}.{key} is of another shape")
        is_finite = all(np.isfinite(kept[key]).all() for key in ("counts", "bets", "scale"))
        if not is_finite or (kept["counts"] < 1).any() or (kept["bets"] < 0).any():
            raise ValueError(f"{name} has numbers that no test has")
        sizes = np.cumsum([len(urn.edges) for urn in self._given])[:-1]
        edges = np.split(kept["edges"], sizes)
        gaps = [urn.gaps for urn in self._given]
        urns = [Urn(*each) for each in zip(edges, gaps, strict=True)]
        found = RankedBets(urns, len(own["scale"]))
        found.urns.counts = kept["counts"]
        found.bets.bets, found.bets.scale = kept["bets"], kept["scale"]
        found.bets.rows = int(kept["rows"])
        return found
