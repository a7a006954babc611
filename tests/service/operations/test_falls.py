"""What columns add to a score by themselves and in pairs, of scores that are known in full."""

import asyncio
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conformal import Calibration
from service.metrics import Metrics
from service.operations import CheckedRuns
from service.operations.detectors import falls
from service.operations.detectors.falls import EXPLAINED, Falls, falls_of
from service.store import Model
from service.types import Arrays, Float64
from service.work_threads import WorkThreads
from tests.helpers.examples import examples

NORMAL = np.linspace(0.0, 1.0, 200)
"""Scores of normal rows."""


class Engine:
    """Scores of rows by a function, and usual values by another one.

    Args:
        score: N × D → N.
        usual: N × D → N × D × K.
    """

    def __init__(
        self, score: Callable[[Float64], Float64], usual: Callable[[Float64], Float64]
    ) -> None:
        self._score, self._usual = score, usual
        self.scored = 0

    async def score(self, x: Float64, context: None, outputs: Any, deadline: float) -> Arrays:
        self.scored += len(x)
        return {"score": self._score(x)}

    async def neighbours(self, x: Float64, context: None, deadline: float) -> Arrays:
        return {"values": self._usual(x)}


def found(engine: Engine, x: Float64) -> Falls:
    """What each column adds to the scores of rows."""
    n, d = x.shape
    k = engine._usual(x).shape[2]
    model = SimpleNamespace(
        detector=SimpleNamespace(dimensions=d, neighbours=k, class_column=None),
        calibration=Calibration.of(NORMAL),
        engine=engine,
    )
    runs = CheckedRuns(2**20, Metrics(), WorkThreads(1))
    asked = falls_of(
        runs, cast(Model, model), x, None, engine._score(x), np.ones(n, bool), math.inf
    )
    return asyncio.run(asked)


def usual_payments(x: Float64) -> Float64:
    """Of amounts, fees and ages: fees are usually 0, amounts large beside a large fee."""
    usual = np.zeros((len(x), 3, 2))
    usual[:, 0] = np.where(x[:, 1:2] > 10, 900.0, [30.0, 35.0])
    usual[:, 2] = [40.0, 44.0]
    return usual


def test_columns_that_explain_each_other_are_both_named() -> None:
    engine = Engine(lambda x: np.abs(x) @ [0.01, 1.0, 0.001], usual_payments)
    row = np.array([[900.0, 13.5, 44.0]])
    added, expected = found(engine, row)
    # by itself the fee lowers the score by 13.5, and the amount by nothing; both by 8.7 more
    assert added[0] == pytest.approx([8.7 / 2, 13.5 + 8.7 / 2, 0.004])
    assert expected[0].tolist() == [[30.0, 35.0], [0.0, 0.0], [40.0, 44.0]]


def test_pairs_are_left_alone_where_one_column_explains_a_row() -> None:
    engine = Engine(lambda x: np.abs(x) @ [0.01, 1.0, 0.001], usual_payments)
    rare = float(np.quantile(NORMAL, 1 - EXPLAINED))
    for left, has_pairs in ((rare - 0.02, False), (rare + 0.02, True)):
        engine.scored = 0
        found(engine, np.array([[100 * left, 20.0, 0.0]]))  # `left` is the score without the fee's
        assert (engine.scored > 6) == has_pairs  # two values of each column


def test_what_a_pair_adds_by_chance_is_nothing() -> None:
    def score(x: Float64) -> Float64:
        scores: Float64 = 2.0 + x.sum(1) - 0.05 * (x == 0).all(1)
        return scores

    added, _ = found(Engine(score, lambda x: np.zeros((len(x), 2, 1))), np.array([[1.0, 3.0]]))
    assert added[0] == pytest.approx([1.0, 3.0])


@examples(20)
@given(
    st.lists(st.floats(2, 100), min_size=9, max_size=9),
    st.lists(st.integers(0, 2), min_size=6, max_size=6),
)
def test_two_columns_add_their_values_in_the_game_of_both(
    scores: list[float], usual: list[int]
) -> None:
    # columns of three values: the score of each pair, and the usual value of each beside the other
    score, beside = np.array(scores).reshape(3, 3), np.array(usual).reshape(2, 3)

    def values(x: Float64) -> Float64:
        first, second = x.astype(int).T
        usual = np.stack([beside[0, second], beside[1, first]], 1).astype(np.float64)
        return usual[:, :, None]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(falls, "LEAST_PART", 0.0)
        engine = Engine(lambda x: score[tuple(x.astype(int).T)], values)
        added = found(engine, np.zeros((1, 2))).added[0]
    first, second = beside[:, 0]
    alone = score[0, 0] - np.array([score[first, 0], score[0, second]])
    both = score[0, 0] - np.array(
        [score[first, beside[1, first]], score[beside[0, second], second]]
    )
    # a column that does not lower the score by itself is not replaced first
    by_itself = alone.clip(min=0)
    together = max([by_itself.sum(), *both[alone > 0]])
    assert added.sum() == pytest.approx(together)
    assert added[0] - added[1] == pytest.approx(by_itself[0] - by_itself[1])
