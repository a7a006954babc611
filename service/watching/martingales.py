"""Test martingales: bets against p-values being uniform, whose capital bounds false alarms.

A martingale starts with 1 and bets its capital on each p-value by a function f ≥ 0 with a mean of 1
over uniform p: it is multiplied by f(p). Where the p-values are independent and uniform its
expectation stays 1, and the probability that it ever reaches 1/a is at most a (Ville, 1939).

The capital is divided among several functions, and over the time at which each begins: what is not
yet bet stays as it is. A stream that changes late so meets capital that has not been lost before,
which the jumpers of Vovk et al. (Retrain or not retrain, 2021) have in part. Several such ways are
compared by `tests/benchmarks/watching.py`: of half a deviation in a column after 50,000 rows the
delay is the shortest here, and small changes of scores are found that jumpers do not find.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.types import Float64

State = dict[str, NDArray[Any]]
"""Arrays by name, which can be kept."""

BLOCK_ROWS = 64
"""Rows between two times at which capital begins to be bet."""

TILTS = (0.3, 0.7, 1.5, -0.3, -0.7, -1.5)
"""1 + e (1/2 − p): values have become a little larger, or smaller."""

POWERS = (0.5, 0.7, 0.85, 0.95)
"""k p^(k − 1): the more, the larger a value (Shafer et al., Test martingales, 2011)."""

SPREADS = (0.8, -0.8)
"""1 + e (6 (p − 1/2)² − 1/2): values lie more outside, or more in the middle."""

TAIL, TAIL_SHARES = 0.01, (0.03, 0.1)
"""1 − c + c [p < t] / t: some values are among the largest; best where t + c of them are."""

MIN_P = 1e-9
"""Smaller p-values are bet on as this one: a block of them is still a finite number."""

DIRECTIONS = np.array(
    [*np.sign(TILTS), *[1.0] * len(POWERS), *[0.0] * len(SPREADS), *[1.0] * len(TAIL_SHARES)]
)
"""Of each function, whether it wins by larger values (1), by smaller ones (−1), or by neither."""


def betting_factors(p: Float64) -> Float64:
    """The value of each betting function at each p; the last side is of the functions."""
    p = np.maximum(p, MIN_P)[..., None]
    centred = 0.5 - p
    powers = np.array(POWERS)
    return np.concatenate(
        [
            1 + centred * np.array(TILTS),
            powers * np.exp(np.log(p) * (powers - 1)),
            1 + np.array(SPREADS) * (6 * centred * centred - 0.5),
            1 + np.array(TAIL_SHARES) * ((p < TAIL) / TAIL - 1),
        ],
        axis=-1,
    )


def unbet(block: int) -> float:
    """The part of the first capital that is not bet yet before a block begins.

    It falls so slowly that a change after n rows costs about log n + 2 log log n nats.
    """
    return 1 / math.log2(block + 2)


class Martingales:
    """Martingales of several sequences of p-values, side by side.

    Args:
        sequences: how many.

    Attributes:
        bets: sequences × functions, capital in each function, as a part of e^`scale`.
        scale: of each sequence, in nats.
        rows: how many p-values of each sequence have been bet on.
    """

    def __init__(self, sequences: int) -> None:
        self.bets = np.zeros((sequences, len(DIRECTIONS)))
        self.scale = np.zeros(sequences)
        self.rows = 0

    @property
    def log_capital(self) -> Float64:
        """Log of the capital of each sequence now, in nats."""
        kept = np.exp(math.log(unbet(self._block)) - self.scale)
        found: Float64 = np.log(self.bets.sum(1) + kept) + self.scale
        return found

    @property
    def directions(self) -> Float64:
        """By which values each sequence has won the most: larger 1, smaller −1, neither 0."""
        found: Float64 = DIRECTIONS[self.bets.argmax(1)] * (self.rows > 0)
        return found

    @property
    def _block(self) -> int:
        """Blocks that have begun."""
        return -(-self.rows // BLOCK_ROWS)

    def state(self) -> State:
        """Arrays from which `restored` makes the same."""
        return {"bets": self.bets, "scale": self.scale, "rows": np.array(self.rows)}

    def restored(self, state: State) -> "Martingales":
        """The same with what a state says.

        Raises:
            KeyError, ValueError: it is of others.
        """
        check_alike(self.state(), state)
        bets, scale = state["bets"], state["scale"]
        if not (np.isfinite(bets).all() and np.isfinite(scale).all() and (bets >= 0).all()):
            raise ValueError("it has capital that no test has")
        found = Martingales(len(scale))
        found.bets, found.scale, found.rows = bets, scale, int(state["rows"])
        return found

    def bet(self, p: Float64) -> Float64:
        """Bet on p-values; returns the log of the capital after each, rows × sequences, in nats.

        Args:
            p: rows × sequences.
        """
        factors = betting_factors(p)
        logs = np.empty(p.shape)
        start = 0
        while start < len(p):
            stop = min(len(p), start + BLOCK_ROWS - self.rows % BLOCK_ROWS)
            logs[start:stop] = self._bet_in_block(factors[start:stop])
            start = stop
        return logs

    def _bet_in_block(self, factors: Float64) -> Float64:
        """The same of rows of one block: numbers of 64 rows need no logarithms yet."""
        if self.rows % BLOCK_ROWS == 0:
            begun = unbet(self._block) - unbet(self._block + 1)
            self.bets += begun / len(DIRECTIONS) * np.exp(-self.scale)[:, None]
        self.rows += len(factors)
        kept = np.exp(math.log(unbet(self._block)) - self.scale)
        capital = np.cumprod(factors, axis=0) * self.bets
        total = capital.sum(-1) + kept
        logs: Float64 = np.log(total) + self.scale
        self.bets = capital[-1] / total[-1][:, None]
        self.scale = logs[-1]
        return logs


def check_alike(own: State, other: State) -> None:
    """See that a state has the arrays that another one has.

    Raises:
        KeyError, ValueError: one is missing, or of another shape or type.
    """
    for key, array in own.items():
        if (other[key].shape, other[key].dtype) != (array.shape, array.dtype):
            raise ValueError(f"{key} are of another shape")
