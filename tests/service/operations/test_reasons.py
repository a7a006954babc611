"""/score with reasons: which columns raise the score, with shares that are known beforehand."""

import asyncio
import io
import json
import math
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DeadlineError, OverloadedError
from service.operations.detectors import falls, operations, reasons
from service.operations.rows.typed import TypedRows
from service.operations.typed.requests import ScoreRequest
from tests.helpers.detectors import REFERENCES, STEPS, WEIGHTS, write_detector_bundle
from tests.helpers.examples import examples
from tests.helpers.http import ARROW, NPY, assert_problem, to_npy
from tests.helpers.running import running
from tests.helpers.tables import CSV, PARQUET
from tests.helpers.typed import COLUMNS, DAY, FIRST_DAY, MISSING
from tests.stored.files import app

NAMES = [column["name"] for column in COLUMNS]
USUAL = [[0.0, 1.0], [0.0, 0.1], ["DE", None], ["2024-01-01", "2024-01-02"]]
"""What `neighbours.onnx` gives, as callers know it."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = tmp_path_factory.mktemp("reasons")
    write_detector_bundle(store)
    write_detector_bundle(store, "arrays", arrays=True)
    write_detector_bundle(store, "moved", context=True)
    write_detector_bundle(store, "silent", neighbours=False)
    with app(store) as http:
        yield http


def ask(client: TestClient, model: str = "detector", **body: Any) -> dict[str, Any]:
    answer = client.post("/score", json={"model": model, **body})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def summands(x: list[float | None]) -> list[float]:
    """What each column adds to the score of a row."""
    values = [MISSING if v is None else v for v in x]
    references = [each[0] for each in REFERENCES]
    return [
        weight * abs(value - reference) / step
        for value, reference, step, weight in zip(values, references, STEPS, WEIGHTS, strict=True)
    ]


def falls_of(x: list[float | None]) -> list[float]:
    """By how much the score falls with the better of the two usual values of each column."""
    own = summands(x)
    falls = []
    for j, usual in enumerate(REFERENCES):
        others = [
            summands([*x[:j], None if math.isnan(value) else value, *x[j + 1 :]])[j]
            for value in usual
        ]
        falls.append(max(0.0, own[j] - min(others)))
    return falls


ROWS = st.tuples(
    st.sampled_from([-2.0, 0.0, 0.25, 1.0, 4.0]),
    st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    st.sampled_from([0.0, 1.0, 2.0, None]),
    st.sampled_from([FIRST_DAY + DAY * n for n in (0, 1, 5, 300)]),
).map(list)


@examples(15)
@given(st.lists(ROWS, min_size=1, max_size=8), st.integers(1, 5))
def test_shares_are_the_parts_of_the_fall(
    client: TestClient, x: list[list[float | None]], most: int
) -> None:
    said = ask(client, x=x, reasons=most)
    assert said["score"] == pytest.approx([sum(summands(row)) for row in x], rel=1e-12)
    for row, found in zip(x, said["reasons"], strict=True):
        falls = falls_of(row)
        total = sum(falls)
        raised = sum(fall > 0 for fall in falls)
        assert len(found) == min(most, raised)
        shares = [reason["share"] for reason in found]
        assert shares == sorted(shares, reverse=True)
        if most >= raised > 0:
            assert sum(shares) == pytest.approx(1)
        largest = sorted(falls, reverse=True)[: len(found)]
        assert shares == pytest.approx([fall / total for fall in largest], rel=1e-9)
        for reason in found:
            j = NAMES.index(reason["column"])
            assert reason["share"] == pytest.approx(falls[j] / total, rel=1e-9)
            assert reason["expected"] == USUAL[j]


ROW = {"amount": 4.0, "count": 0.3, "country": None, "seen": "2024-04-10"}
"""Of which each column adds: 4, 1.5, 6 and 1."""


def test_values_are_those_of_their_columns(client: TestClient) -> None:
    said = ask(client, rows=[ROW], reasons=9)
    assert said["reasons"] == [
        [
            {"column": "country", "value": None, "expected": ["DE", None], "share": 6 / 12.5},
            {"column": "amount", "value": 4.0, "expected": [0.0, 1.0], "share": 4 / 12.5},
            {"column": "count", "value": 0.3, "expected": [0.0, 0.1], "share": 1.5 / 12.5},
            {
                "column": "seen",
                "value": "2024-04-10",
                "expected": ["2024-01-01", "2024-01-02"],
                "share": 1 / 12.5,
            },
        ]
    ]
    usual = {"amount": 0.0, "count": 0.0, "country": "DE", "seen": "2024-01-01"}
    assert ask(client, rows=[usual, ROW], reasons=1)["reasons"] == [[], said["reasons"][0][:1]]
    other = ask(client, rows=[{**usual, "country": "IT"}], reasons=1)["reasons"][0][0]
    assert (other["column"], other["value"]) == ("country", "IT")
    coded = ask(client, x=[[0.0, 0.0, 2, FIRST_DAY]], reasons=1)["reasons"][0][0]
    assert coded["value"] == "(other)"  # of which nobody knows more


def test_tables_have_a_column_for_each_part_of_a_reason(client: TestClient) -> None:
    usual = {"amount": 0.0, "count": 0.0, "country": "DE", "seen": "2024-01-01"}
    rows = [ROW, usual]
    said = ask(client, rows=rows, reasons=2)["reasons"]
    body = "amount,count,country,seen\n4,0.3,,2024-04-10\n0,0,DE,2024-01-01\n"
    for accept in (CSV, ARROW, PARQUET):
        answer = client.post(
            "/score?model=detector&reasons=2",
            content=body,
            headers={"content-type": CSV, "accept": accept},
        )
        assert answer.status_code == 200, answer.text
        assert "x-bijecta-reasons" not in answer.headers
        if accept == CSV:
            lines = [line.split(",") for line in answer.text.splitlines()]
            assert lines[0][4:8] == ["reason.0"] + [
                f"reason.0.{part}" for part in ("value", "expected", "share")
            ]
            assert lines[1][4:6] == ["country", ""]
            assert lines[2][4:] == [""] * 8
            continue
        table = (
            pq.read_table(io.BytesIO(answer.content))
            if accept == PARQUET
            else pa.ipc.open_stream(answer.content).read_all()
        )
        assert b"reasons" not in table.schema.metadata
        columns = table.to_pydict()
        for rank, reason in enumerate(said[0]):
            assert columns[f"reason.{rank}"] == [reason["column"], ""]
            assert json.loads(columns[f"reason.{rank}.expected"][0]) == reason["expected"]
            share, none = columns[f"reason.{rank}.share"]
            assert share == reason["share"]
            assert none is None or math.isnan(none)
        assert columns["reason.1.value"] == ["4.0", ""]


def test_places_of_arrays_are_their_indices(client: TestClient) -> None:
    x = [[[1.0, 0.0, 3.0], [0.0, 4.0, 0.0]]]
    found = ask(client, model="arrays", x=x, reasons=2)["reasons"][0]
    assert [(reason["column"], reason["value"]) for reason in found] == [
        ([1, 1], 4.0),
        ([0, 2], 3.0),
    ]
    assert [reason["share"] for reason in found] == pytest.approx([4 / 8, 3 / 8])


def test_the_context_stays_beside_its_row(client: TestClient) -> None:
    # b moves the amount by one: it adds 2 of a, and 1 of b, to the 1.5 of the count
    rows = [{**ROW, "country": "DE", "seen": "2024-01-01", "amount": 2.0}] * 5
    groups = ["a", "b", "b", "a", "b"]
    said = ask(client, model="moved", rows=rows, context=[[group] for group in groups], reasons=2)
    for group, found in zip(groups, said["reasons"], strict=True):
        falls = {"amount": 2.0 if group == "a" else 1.0, "count": 1.5}
        shares = {reason["column"]: reason["share"] for reason in found}
        assert shares == pytest.approx({k: fall / sum(falls.values()) for k, fall in falls.items()})


def test_what_lies_outside_the_support_is_the_reason(client: TestClient) -> None:
    x = [[5.0, 0.35, 0, FIRST_DAY], [5.0, 0.3, 0, FIRST_DAY], [0.0, 1.5, 9, FIRST_DAY]]
    first, inside, both = ask(client, x=x, reasons=3)["reasons"]
    assert [(reason["column"], reason["value"]) for reason in first] == [("count", 0.35)]
    assert first[0]["share"] == 1.0
    assert [reason["column"] for reason in inside] == ["amount", "count"]
    assert [(reason["column"], reason["value"]) for reason in both] == [
        ("count", 1.5),
        ("country", 9.0),
    ]


def test_what_has_no_reasons_is_refused_before_any_work(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"model": "silent", "rows": [ROW], "reasons": 1}
    assert_problem(
        client.post("/score", json=body), 422, "`bijecta fit-detector TABLE --name silent --store"
    )
    assert "reasons" not in ask(client, model="silent", rows=[ROW])
    npy = client.post(
        "/score?model=detector&reasons=1",
        content=to_npy(np.zeros((1, 4))),
        headers={"content-type": NPY},
    )
    assert_problem(npy, 406, "reasons: application/x-npy has no room for them")
    monkeypatch.setattr(reasons, "MAX_REPLACED_ROWS", 24)
    assert len(ask(client, rows=[ROW] * 3, reasons=1)["reasons"]) == 3
    body = {"model": "detector", "rows": [ROW] * 4, "reasons": 1}
    answer = client.post("/score", json=body)
    assert_problem(answer, 413, "4 rows of 4 columns with 2 values each are more than the 24")
    assert "ask for 3 rows" in answer.json()["detail"]
    assert len(ask(client, rows=[ROW] * 4)["score"]) == 4


def in_pieces_of(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many rows are run in one go."""
    for module in (reasons, falls):
        monkeypatch.setattr(module, "rows_at_once", lambda _: rows)


def test_pieces_make_one_answer(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**ROW, "amount": float(i)} for i in range(40)]
    whole = ask(client, rows=rows, reasons=3)
    for at_once in (1, 3, 7):
        in_pieces_of(at_once, monkeypatch)
        assert ask(client, rows=rows, reasons=3) == whole


def asking(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Callable[[float], Awaitable[Any]], list[int]], Awaitable[None]],
) -> None:
    """Run `work` with a question in many pieces, and the rows of each run so far."""
    in_pieces_of(2, monkeypatch)
    write_detector_bundle(folder)
    values = np.tile([4.0, 0.3, 2.0, FIRST_DAY + 9 * DAY], (200, 1))
    request = ScoreRequest(x=TypedRows(values), reasons=1)

    async def run() -> None:
        async with running(folder) as served:
            runs: list[int] = []
            score = served.model.engine.score

            def counted(x: Any, *arguments: Any) -> Awaitable[Any]:
                runs.append(len(x))
                if len(runs) == 3:  # the queue is full, for a moment
                    raise OverloadedError("much is waiting", retry_after=0)
                return score(x, *arguments)

            monkeypatch.setattr(served.model.engine, "score", counted)

            def question(deadline: float) -> Awaitable[Any]:
                asked = served.server.operations, served.model, request, deadline
                return operations.score(*asked)

            async with asyncio.timeout(60):
                await work(question, runs)

    asyncio.run(run())


def test_who_leaves_takes_the_work_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def leave(question: Callable[[float], Awaitable[Any]], runs: list[int]) -> None:
        task = asyncio.ensure_future(question(math.inf))
        while len(runs) < 5:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        so_far = len(runs)
        await asyncio.sleep(0.05)
        assert len(runs) == so_far < 400

    asking(tmp_path, monkeypatch, leave)


def test_a_deadline_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hurry(question: Callable[[float], Awaitable[Any]], runs: list[int]) -> None:
        with pytest.raises(DeadlineError):
            await question(time.monotonic() + 0.02)
        assert len(runs) < 400

    asking(tmp_path, monkeypatch, hurry)


def test_reasons_wait_for_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def whole(question: Callable[[float], Awaitable[Any]], runs: list[int]) -> None:
        answer = await question(math.inf)
        assert len(answer.remarks["reasons"]) == 200
        assert max(runs[1:]) == 2  # all but the first, which scores the rows

    asking(tmp_path, monkeypatch, whole)
