"""The event loop works on few numbers of typed columns at a time, whatever a caller sends."""

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from service.conformal import Calibration
from service.errors import InvalidInputError
from service.metrics import Metrics
from service.operations import CheckedRuns, Operations, checked_runs
from service.operations.detectors import operations as of_detectors
from service.operations.rows.faults import Fault, RowFaults
from service.operations.rows.typed import SettledRows, TypedRows
from service.operations.typed import operations as of_tables
from service.operations.typed import settled
from service.operations.typed.requests import (
    DecodeOfTable,
    EncodeOfTable,
    LogProbOfTable,
    ScoreRequest,
)
from service.types import Arrays
from service.work_threads import MIN_NUMBERS, WorkThreads
from tests.helpers.watched import Diary, watched

COLUMNS = 64
LARGE, SMALL = 2 * MIN_NUMBERS // COLUMNS, 8
QUESTIONS: dict[str, tuple[Any, type[Any], str]] = {
    "score": (of_detectors.score, ScoreRequest, "x"),
    "log_prob": (of_tables.log_prob, LogProbOfTable, "x"),
    "encode": (of_tables.encode, EncodeOfTable, "x"),
    "decode": (of_tables.decode, DecodeOfTable, "z"),
}


@pytest.fixture
def threads() -> Iterator[WorkThreads]:
    """Where large work is done."""
    threads = WorkThreads(2)
    yield threads
    threads.close()


def ask(name: str, rows: int, threads: WorkThreads, monkeypatch: pytest.MonkeyPatch) -> Diary:
    """Ask a model whose arrays are watched; who has worked on them."""
    diary = Diary()

    async def run(rows: Any, *_: Any) -> Arrays:
        n = len(rows)
        shapes = {"x": (n, COLUMNS), "z": (n, COLUMNS), "log_prob": (n,), "score": (n,)}
        return {key: watched(np.zeros(shape), diary) for key, shape in shapes.items()}

    def settle(*arguments: Any) -> SettledRows:
        faults: RowFaults = arguments[3]
        x = np.zeros((rows, COLUMNS))
        # of which the first has no answer, so that the others are picked out
        faults.check(np.arange(rows) == 0, InvalidInputError, lambda *_: Fault("", {}))
        return SettledRows(watched(x, diary), watched(x > 0, diary))

    def decoded_rows(_: Any, x: Any) -> tuple[Any, Any]:
        diary.note(x)
        return x, x

    monkeypatch.setattr(settled, "settled_rows", settle)
    monkeypatch.setattr(checked_runs, "decoded_rows", decoded_rows)
    monkeypatch.setattr(of_tables, "_middles", lambda x: watched(np.zeros(x.shape), diary) + 0.5)
    manifest = SimpleNamespace(context=None, name="model", round_trip=None)
    model: Any = SimpleNamespace(
        manifest=manifest,
        density=manifest,
        table=manifest,
        format_2=manifest,
        detector=SimpleNamespace(class_column=None),
        calibration=Calibration(np.arange(9.0)),
        watch=None,
        event_shape=(COLUMNS,),
        latent_shape=(COLUMNS,),
        base_box=None,
        support=None,
        is_bounded=True,
        engine=SimpleNamespace(encode=run, decode=run, score=run),
    )
    question, request, field = QUESTIONS[name]
    x = np.zeros((rows, COLUMNS))
    asked = request.model_construct(**{field: x if field == "z" else TypedRows(x)}, partial=True)
    operations = Operations(10**6, CheckedRuns(10**6, Metrics(), threads))
    asyncio.run(question(operations, model, asked, np.inf))
    return diary


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_loop_works_on_few_numbers_however_many_come(
    name: str, threads: WorkThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = ask(name, LARGE, threads, monkeypatch)
    assert diary.most_in(threading.get_ident()) <= MIN_NUMBERS
    assert diary.most_elsewhere(threading.get_ident()) > MIN_NUMBERS


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_thread_is_asked_for_few_numbers(
    name: str, threads: WorkThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = ask(name, SMALL, threads, monkeypatch)
    assert diary.most_in(threading.get_ident()) > 0
    assert diary.most_elsewhere(threading.get_ident()) == 0
