"""The event loop works on few numbers at a time, whatever a caller sends or asks for."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service import bundle
from service.metrics import Metrics
from service.operations import CheckedRuns, Operations, context, noise
from service.operations import operations as answers
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.types import Arrays
from service.work_threads import BLOCK_NUMBERS, MIN_NUMBERS, WorkThreads
from tests.helpers.watched import Diary, Watched, watched

# whole numbers, 64 a row, with a context of one class
DIGITS = Path(__file__).parents[2] / "stored/format_1/store/maf-digits/1"
LARGE, SMALL = 2 * MIN_NUMBERS // 64, 8
# copies and steps alone make these large: the body holds two rows
REQUESTS = ("log_prob", "bounded", "noisy", "quantile", "encode", "decode", "sample", "interpolate")


@dataclass
class Watch:
    """Operations of a model whose graphs give back what they are given, and what they work on."""

    operations: Operations
    model: Any
    diary: Diary

    def request(self, name: str, n: int) -> FlowRequest:
        """A question about n rows, or of a few that asks for n."""
        if name == "quantile":
            n *= 64  # work on a quantile is a number a row
        x = watched(np.zeros((n, 64), np.float32), self.diary)
        classes = watched(np.zeros((n, 1), np.float32), self.diary)
        of_rows: dict[str, Any] = {"x": x, "context": classes}
        match name:
            case "noisy":
                return LogProbRequest.model_construct(
                    x=x[:2], context=classes[:1], dequantize=n // 2
                )
            case "quantile":
                return LogProbRequest.model_construct(**of_rows, quantile=True)
            case "encode":
                return EncodeRequest.model_construct(**of_rows)
            case "decode":
                return DecodeRequest.model_construct(z=x, context=classes)
            case "sample":
                return SampleRequest.model_construct(n=n, context=classes[0], quantize=True)
            case "interpolate":
                return InterpolateRequest.model_construct(
                    start=x[0], end=x[1] + 1, steps=n, context=classes[0], path="linear"
                )
        return LogProbRequest.model_construct(**of_rows)

    async def ask(self, name: str, n: int, deadline: float = np.inf) -> Arrays:
        """The answer's arrays."""
        if name == "bounded":
            ends = np.full(64, -1, np.float32), np.full(64, 17, np.float32)
            self.model.support, self.model.is_bounded = ends, True
        is_of_log_prob = name in ("bounded", "noisy", "quantile")
        question = getattr(self.operations, "log_prob" if is_of_log_prob else name)
        answer = await question(self.model, self.request(name, n), deadline)
        arrays: Arrays = answer.arrays
        return arrays


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Operations that are watched."""
    diary = Diary()

    async def encode(x: Any, *_: Any) -> Arrays:
        return {
            n: watched(np.zeros(s, np.float32), diary)
            for n, s in (("z", x.shape), ("log_prob", len(x)))
        }

    async def decode(z: Any, *_: Any) -> Arrays:
        return {
            n: watched(np.zeros(s, np.float32), diary)
            for n, s in (("x", z.shape), ("log_prob", len(z)))
        }

    for owner, name in (
        (noise.Latents, "draw"),
        (noise.NoisyCopies, "draw"),
        (answers, "quantiles"),
        (noise, "quantized"),
        (bundle.LatentPath, "points"),
        (context, "rows"),
        (np, "ascontiguousarray"),
    ):
        monkeypatch.setattr(owner, name, diary.noting(getattr(owner, name)))
    threads, manifest = WorkThreads(2), bundle.read_flow(DIGITS)
    model = SimpleNamespace(
        manifest=manifest,
        density=manifest,
        watch=None,
        event_shape=(64,),
        latent_shape=(64,),
        table=None,
        support=None,
        base_box=None,
        is_bounded=False,
        engine=SimpleNamespace(encode=encode, decode=decode),
    )
    yield Watch(Operations(10**6, CheckedRuns(10**6, Metrics(), threads)), model, diary)
    threads.close()


@pytest.mark.parametrize("name", REQUESTS)
def test_the_loop_works_on_few_numbers_however_many_are_asked_for(watch: Watch, name: str) -> None:
    asyncio.run(watch.ask(name, LARGE))
    here = threading.get_ident()
    assert watch.diary.most_in(here) <= MIN_NUMBERS
    assert watch.diary.most_elsewhere(here) > MIN_NUMBERS or name == "log_prob"


@pytest.mark.parametrize("name", REQUESTS)
def test_no_thread_is_asked_for_few_numbers(watch: Watch, name: str) -> None:
    asyncio.run(watch.ask(name, SMALL))
    here = threading.get_ident()
    assert watch.diary.most_in(here) > 0
    assert watch.diary.most_elsewhere(here) == 0


def test_no_turn_of_a_path_or_of_noise_is_longer_than_a_block(watch: Watch) -> None:
    for name in ("interpolate", "noisy", "sample"):
        asyncio.run(watch.ask(name, 4 * BLOCK_NUMBERS // 64))
    made = [numbers for _, numbers in watch.diary.entries]
    assert max(made) == 4 * BLOCK_NUMBERS  # the check of the whole answer
    start, end = np.eye(2, 64, dtype=np.float32)
    interpolated = bundle.LatentPath(start, end, 10**5, "linear")
    blocks: list[tuple[int, int]] = []

    async def work() -> None:
        await watch.operations.threads.run_in_blocks(10**5, 64, lambda a, b: blocks.append((a, b)))

    asyncio.run(work())
    whole = interpolated.points(0, 10**5)
    assert np.array_equal(np.concatenate([interpolated.points(a, b) for a, b in blocks]), whole)
    assert max(stop - start for start, stop in blocks) * 64 <= BLOCK_NUMBERS


def test_pieces_of_noisy_copies_are_those_of_one_long_draw() -> None:
    manifest = bundle.read_flow(DIGITS)
    rows = np.arange(3 * 64, dtype=np.float32).reshape(3, 64)
    whole = noise.NoisyCopies(manifest, rows, 7).draw(0, 30)
    piecewise = noise.NoisyCopies(manifest, rows, 7)
    pieces = [piecewise.draw(a, b) for a, b in ((0, 1), (1, 17), (17, 30))]
    assert np.array_equal(np.concatenate(pieces), whole)
    apart = np.abs(whole.reshape(10, 3, 64) - rows)
    assert apart.max() <= 0.5
    assert apart.std(0).min() > 0


def test_a_watched_array_says_who_works_on_it() -> None:
    diary = Diary()
    array = watched(np.zeros(10, np.float32), diary)
    assert isinstance(array[2:5] + 1, Watched)
    np.isfinite(array).all()
    np.concatenate([array, array])
    array[np.arange(4)]
    array.astype(np.float64)
    assert [numbers for _, numbers in diary.entries] == [3, 10, 10, 10, 4, 10]
