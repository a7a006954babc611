"""A batch of several jobs: each gets its own rows, and the guilty ones alone get an error."""

import asyncio
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.batch import AwaitedJob, outcomes_of
from service.engine.queue import Chunk
from service.errors import InferenceError
from service.types import Arrays
from tests.helpers.examples import examples


def chunk_of(values: list[float], names: tuple[str, ...] = ("y",)) -> Chunk[AwaitedJob]:
    feeds = {"x": np.array(values, np.float32)[:, None]}
    future: asyncio.Future[Arrays] = asyncio.Future(loop=asyncio.new_event_loop())
    future.get_loop().close()
    job = AwaitedJob("graph", len(values), 0.0, math.inf, feeds, names, future)
    return Chunk(job, 0, len(values))


def fails_on_negatives(feeds: Arrays, output_names: Sequence[str]) -> Arrays:
    if (feeds["x"] < 0).any():
        raise RuntimeError("negative")
    return {name: {"y": 2 * feeds["x"], "z": -feeds["x"]}[name] for name in output_names}


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 1000), min_size=1, max_size=5),
            st.booleans(),
            st.sampled_from([("y",), ("z",), ("z", "y")]),
        ),
        min_size=1,
        max_size=12,
    )
)
@examples(100)
def test_poison_is_isolated(jobs: list[tuple[list[int], bool, tuple[str, ...]]]) -> None:
    chunks = [
        chunk_of([*map(float, values)] + [-1.0] * poisoned, names)
        for values, poisoned, names in jobs
    ]
    outcomes = outcomes_of(fails_on_negatives, chunks)
    for (values, poisoned, names), outcome in zip(jobs, outcomes, strict=True):
        if poisoned:
            assert isinstance(outcome, InferenceError)
            assert "negative" in outcome.detail
        else:
            assert isinstance(outcome, dict)
            assert tuple(outcome) == names
            for name, scale in (("y", 2), ("z", -1)):
                if name in names:
                    np.testing.assert_array_equal(outcome[name][:, 0], scale * np.array(values))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.batch.log.exception", lambda _: None)
