"""Answers of models of typed columns as CSV, Arrow and Parquet."""

import datetime

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.helpers.http import ARROW, assert_problem
from tests.helpers.tables import CSV, PARQUET, ask_table, read_answer
from tests.helpers.typed import TABLE

BINARY = (ARROW, PARQUET)


@pytest.mark.parametrize("kind", [CSV, *BINARY])
def test_answers_have_names_and_their_own_kinds(tables: TestClient, kind: str) -> None:
    url = "/sample?model=typed&n=300&seed=3&records=true"
    answer = tables.post(url, headers={"accept": kind})
    drawn = read_answer(answer)
    assert list(drawn) == [*TABLE, "log_prob"]
    assert answer.headers["x-bijecta-seed"] == "3"
    said = tables.post("/sample", json={"model": "typed", "n": 300, "seed": 3, "records": True})
    rows, scores = said.json()["rows"], said.json()["log_prob"]
    for name, values in drawn.items():
        expected = scores if name == "log_prob" else [row[name] for row in rows]
        if kind == CSV:
            expected = ["" if value is None else str(value) for value in expected]
        elif name == "seen":
            expected = [datetime.date.fromisoformat(value) for value in expected]
        assert values == expected, name
    drawn.pop("log_prob")
    given = {
        name: pa.array(values, pa.string() if name == "country" else None)
        if kind != CSV
        else values
        for name, values in drawn.items()
    }
    again = ask_table(tables, "/log_prob", given, kind, accept=kind)
    assert read_answer(again)["log_prob"] == ([str(s) for s in scores] if kind == CSV else scores)
    latents = {f"z.{i}": [0.5, 1.0] for i in range(4)}
    decoded = ask_table(tables, "/decode", latents, kind, accept=kind, records=True)
    assert list(read_answer(decoded)) == [*TABLE, "log_prob"]


def test_answers_of_flows_as_columns(tables: TestClient) -> None:
    for kind in (CSV, PARQUET):
        answer = tables.post("/encode?model=tiny", json={"x": [[0.1, 2]]}, headers={"accept": kind})
        assert answer.status_code == 422  # JSON holds all its fields
        body = {"model": "tiny", "x": [[0.1, 2]]}
        answer = tables.post("/encode", json=body, headers={"accept": kind})
        columns = read_answer(answer)
        assert list(columns) == ["z.0", "z.1", "log_prob"]
        assert columns["z.0"] == (["0.1"] if kind == CSV else [pytest.approx(0.1)])
        assert answer.headers["x-bijecta-model"] == "tiny"
        only = tables.post("/sample?model=tiny&n=2&output=x", headers={"accept": kind})
        assert list(read_answer(only)) == ["x.0", "x.1"]


def test_rows_without_an_answer_are_empty(tables: TestClient) -> None:
    table = {**TABLE, "count": [0.3, 2.0]}
    answer = ask_table(tables, "/log_prob", table, CSV, accept=CSV)
    assert read_answer(answer)["log_prob"][1] == "-inf"
    assert answer.headers["x-bijecta-outside-support"] == "1"
    answer = ask_table(tables, "/encode", table, CSV, accept=CSV, partial=True)
    assert [column[1] for column in read_answer(answer).values()] == [""] * 5
    assert answer.headers["x-bijecta-errors"] == "1"


def test_columns_of_one_name_are_not_written_side_by_side(tables: TestClient) -> None:
    for kind in (CSV, PARQUET):
        url = "/sample?model=renamed&n=1"
        answer = tables.post(url, headers={"accept": kind})
        assert_problem(answer, 406, "there are several log_prob: pick one array with output")
        only = tables.post(f"{url}&output=x", headers={"accept": kind})
        assert list(read_answer(only)) == ["a", "b", "country", "log_prob"]
    answer = tables.post("/sample?model=renamed&n=1&records=true", headers={"accept": ARROW})
    assert answer.status_code == 200  # of Arrow columns may share a name


def test_a_long_answer_comes_in_pieces(tables: TestClient) -> None:
    url = "/sample?model=typed&n=20000&seed=1"
    with tables.stream("POST", url, headers={"accept": CSV}) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 2
    lines = b"".join(pieces).decode().splitlines()
    assert len(lines) == 20_001
    few = tables.post("/sample?model=typed&n=5&seed=1", headers={"accept": CSV}).text.splitlines()
    assert lines[:6] == few
