"""What a table answers to bodies in no form that it reads, and to values that its data had not."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.helpers.http import ARROW, NPY, assert_problem, to_npy
from tests.helpers.stores import edit
from tests.helpers.tables import CSV, FORMATS, JSON, PARQUET, ask_table, csv_body
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import COLUMNS, FIRST_DAY, TABLE, write_typed_bundle
from tests.stored.files import app

RECORD: dict[str, Any] = {"amount": 0.1, "count": 0.3, "country": "FR", "seen": "2024-02-29"}

RECORDS = '{"rows": [{"amount": -3.0, "count": 0.0, "country": "DE", …}]}'
LISTS = '{"columns": {"amount": [-3.0], "count": [0.0], "country": ["DE"], …}}'
NUMBERS = '{"x": [[-3, 0, 0, …]]}'
ALL_FORMS = f"expected {RECORDS}, {LISTS} or {NUMBERS}, got "


def constant(name: str, column: Any) -> dict[str, Any]:
    said = {"name": name, "missing": True} | column if isinstance(column, dict) else column
    return {"name": name, "reason": "constant", "detail": "is so", "constant": said}


RATE = {"kind": "numeric", "low": 0.1, "high": 0.1, "point_masses": [0.1]}
FIRST = {"kind": "datetime", "low": FIRST_DAY, "high": FIRST_DAY, "format": "%d.%m.%Y"}
LEFT_OUT = [
    {"name": "id", "reason": "identifier", "detail": "distinct in all rows"},
    constant("currency", {"kind": "categorical", "classes": ["EUR"]}),
    constant("rate", RATE),
    constant("day", FIRST),
    constant("fault", "missing"),
    constant("of a version before", None),
]
RAW = ["classes", "constants", "point_masses", "ranges", "self_test"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = tmp_path_factory.mktemp("messages")
    edit(write_typed_bundle(store), left_out=LEFT_OUT, raw_values=RAW)
    one = [{**COLUMNS[0], "name": "a;b"}, *COLUMNS[1:]]
    edit(write_typed_bundle(store, "odd"), columns=one)
    write_tiny_bundle(store, "tiny")
    with app(store) as client:
        yield client


def post(client: TestClient, content: bytes, kind: str | None, query: str = "") -> Any:
    headers = {} if kind is None else {"content-type": kind}
    return client.post(f"/log_prob?model=typed{query}", content=content, headers=headers)


@pytest.mark.parametrize(
    ("fields", "came"),
    [
        ({}, "model"),
        ({"data": [RECORD]}, "model, data"),
        ({"instances": [[1]], "parameters": {}}, "model, instances, parameters"),
        ({"x": [RECORD]}, "objects in x"),
        (RECORD, "the values of one row by themselves (model, amount, count, … (5 in all))"),
    ],
)
@pytest.mark.parametrize("endpoint", ["/log_prob", "/encode"])
def test_a_body_without_rows_is_told_the_three_forms(
    client: TestClient, endpoint: str, fields: dict[str, Any], came: str
) -> None:
    answer = client.post(endpoint, json={"model": "typed", **fields})
    assert_problem(answer, 422, ALL_FORMS + came)


def test_each_form_of_the_message_is_one_that_is_read(client: TestClient) -> None:
    rest = {"seen": "2024-02-29"}
    for text in (RECORDS, LISTS, NUMBERS):
        form = json.loads(text.replace(", …", ""))
        if "rows" in form:
            form["rows"][0] |= rest
        elif "columns" in form:
            form["columns"] |= {"seen": ["2024-02-29"]}
        else:
            form["x"][0].append(FIRST_DAY)
        answer = client.post("/log_prob", json={"model": "typed", **form})
        assert answer.status_code == 200, answer.text


def test_no_body_and_a_list_are_told_the_forms_too(client: TestClient) -> None:
    assert_problem(client.post("/encode?model=typed"), 422, ALL_FORMS + "nothing")
    records = json.dumps([RECORD]).encode()
    answer = client.post("/log_prob", content=records, headers={"content-type": JSON})
    words = 'got an array; rows of a table are {"rows": [{"a column": its value, …}]}, '
    assert_problem(answer, 400, words)


@pytest.mark.parametrize("endpoint", ["/decode", "/sample", "/interpolate"])
@pytest.mark.parametrize("rows", [5, None, {"amount": 1}, [[1]]])
def test_rows_in_a_question_without_them_are_unknown(
    client: TestClient, endpoint: str, rows: Any
) -> None:
    answer = client.post(endpoint, json={"model": "typed", "rows": rows})
    assert_problem(answer, 422, "rows is not known here")


HEADER = "amount,count,country,seen"
LINE = "0.1,0.3,FR,2024-02-29"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEADER}\n{LINE}".replace(",", ";"), "its only name holds semicolons: expected commas"),
        (f"{HEADER}\n{LINE}".replace(",", "\t"), "its only name holds tabs: expected commas"),
        (f"{HEADER}\n{LINE}".replace(",", "|"), "its only name holds vertical bars"),
        (
            f"{HEADER.replace(',', ';')}\n0,1;0,3;FR;2024-02-29",
            "row 0 (line 2): expected 1 cells as in the header, got 3; its only name holds "
            "semicolons: expected commas between the cells of CSV, and points in numbers",
        ),
        (
            f"{HEADER}\n0,1,0.3,FR,2024-02-29",
            "got 5: a cell that holds a comma stands in quotes, and numbers have points, not comm",
        ),
        (f"{HEADER}\n0.1,0.3,FR", "row 0 (line 2): expected 4 cells as in the header, got 3"),
        (
            f'{HEADER}\n"0,1",0.3,FR,2024-02-29',
            "row 0, column 'amount': expected a finite number, got '0,1', which has a decimal c",
        ),
        (
            f'{HEADER}\n0.1,"1,000.3",FR,2024-02-29',
            "got '1,000.3', which has separators of thousands",
        ),
        (f"{HEADER}\n0.1,30 %,FR,2024-02-29", "got '30 %', which ends in a per cent sign"),
        (f"{HEADER}\n€ 5,0.3,FR,2024-02-29", "got '€ 5', which has a currency sign"),
        (f"{HEADER}\n−0.1,0.3,FR,2024-02-29", "got '−0.1', which has a minus sign of print (−)"),
    ],
)
def test_csv_of_another_kind_is_named(client: TestClient, text: str, words: str) -> None:
    assert_problem(post(client, text.encode(), CSV), 422, words)


def test_a_name_may_hold_a_semicolon(client: TestClient) -> None:
    row = {"a;b" if name == "amount" else name: value for name, value in RECORD.items()}
    assert client.post("/log_prob", json={"model": "odd", "rows": [row]}).status_code == 200


def test_a_body_that_is_not_what_its_type_says_is_named(client: TestClient) -> None:
    text, record = csv_body(TABLE), json.dumps({"rows": [RECORD]}).encode()
    form = "application/x-www-form-urlencoded"
    seems_csv = "it seems to be CSV: say so with Content-Type: text/csv"
    for kind, came in ((None, "it has no Content-Type"), (form, f"its Content-Type is {form}")):
        answer = client.post("/log_prob", content=text, headers={"content-type": kind or ""})
        assert_problem(
            answer, 400, f"the body is not JSON: expected value at line 1 column 1; {came}"
        )
        assert "read as JSON; application/json, application/x-npy, " in answer.json()["detail"]
        assert answer.json()["detail"].endswith(f" are read; {seems_csv}")
        queried = client.post(
            "/log_prob?quantile=true", content=text, headers={"content-type": kind or ""}
        )
        assert queried.json()["detail"] == answer.json()["detail"]
    answer = client.post("/log_prob", content=text, headers={"content-type": JSON})
    assert answer.json()["detail"].endswith(f"at line 1 column 1; {seems_csv}")
    answer = client.post("/log_prob", content=b"{", headers={"content-type": JSON})
    assert "seems" not in answer.json()["detail"]
    seems_json = "; it seems to be JSON: say so with Content-Type: application/json"
    assert_problem(post(client, record, CSV), 400, seems_json)
    assert_problem(post(client, record, NPY), 400, seems_json)
    assert_problem(post(client, record, PARQUET), 400, seems_json)
    assert_problem(post(client, record, "text/plain"), 415, f"got text/plain{seems_json}")
    assert_problem(post(client, text, "text/plain"), 415, f"got text/plain; {seems_csv}")
    assert_problem(post(client, to_npy(np.zeros(2)), ARROW), 400, "Content-Type: application/x-npy")
    assert_problem(post(client, b"PAR1 and so on", ARROW), 400, "to be a Parquet file: say so")
    assert_problem(post(client, b"PK\x03\x04", "application/zip"), 415, "which is not read")
    assert_problem(post(client, b"\x1f\x8b\xff", CSV), 400, "say so with Content-Encoding: gzip")
    assert_problem(
        post(client, b"a", "multipart/form-data; boundary=a"), 415, "--data-binary @FILE"
    )


CLASSES = [
    {"column": "country", "value": "XX", "rows": [0, 2], "row_count": 2},
    {"column": "country", "value": "Y", "rows": [1], "row_count": 1},
]
ROWS_OF_CLASSES = {**{k: [v[0]] * 4 for k, v in TABLE.items()}, "country": ["XX", "Y", "XX", "DE"]}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("endpoint", ["/log_prob", "/encode"])
def test_classes_that_are_unknown_are_scored_and_said(
    client: TestClient, endpoint: str, kind: str
) -> None:
    said = ask_table(client, endpoint, ROWS_OF_CLASSES, kind).json()
    assert said["unknown_classes"] == CLASSES
    assert len(said["log_prob"]) == 4
    known = {**ROWS_OF_CLASSES, "country": ["DE", "(other)", "FR", None]}
    assert "unknown_classes" not in ask_table(client, endpoint, known, kind).json()


@pytest.mark.parametrize("kind", FORMATS)
def test_other_values_of_constant_columns_are_said(client: TestClient, kind: str) -> None:
    same = {
        "currency": ["EUR"] * 3,
        "rate": [0.1] * 3,
        "day": ["01.01.2024", "2024-01-01", "2024-01-01T00:00:00Z"],
        "fault": pa.nulls(3).to_pylist() if kind in (JSON, CSV) else pa.nulls(3),
        "of a version before": [1, 2, 3],
        "id": [1, 2, 3],
    }
    rows = {k: [v[0]] * 3 for k, v in TABLE.items()}
    usual = ask_table(client, "/log_prob", rows | same, kind).json()
    assert "changed_constants" not in usual
    other = {
        "currency": ["EUR", "USD", "CHF"],
        "rate": [0.1, 0.1, None],
        "day": ["01.01.2024", "02.01.2024", "01.01.2024"],
        "fault": [None, None, "E7"],
        "id": [1, 2, 3],
    }
    said = ask_table(client, "/log_prob", rows | other, kind).json()
    assert said["changed_constants"] == [
        {"column": "currency", "expected": "EUR", "value": "USD", "rows": [1, 2], "row_count": 2},
        {"column": "rate", "expected": 0.1, "value": None, "rows": [2], "row_count": 1},
        {
            "column": "day",
            "expected": "01.01.2024",
            "value": "02.01.2024",
            "rows": [1],
            "row_count": 1,
        },
        {"column": "fault", "expected": None, "value": "E7", "rows": [2], "row_count": 1},
    ]
    assert said["log_prob"] == usual["log_prob"]


def test_float32_is_as_constant_as_float64(client: TestClient) -> None:
    table = TABLE | {"rate": pa.array([0.1, 0.1], pa.float32())}
    assert "changed_constants" not in ask_table(client, "/log_prob", table, ARROW).json()


def test_remarks_are_bounded(client: TestClient) -> None:
    count = 3000
    rows: dict[str, Any] = {k: [v[0]] * count for k, v in TABLE.items()}
    rows["country"] = ["Z" * 500, *["A"] * 1500, *(f"C{i}" for i in range(count - 1501))]
    rows["currency"] = ["$"] * count
    said = ask_table(client, "/log_prob", rows, JSON).json()
    first, second, *others = said["unknown_classes"]
    assert first["value"] == "Z" * 100 + "…"
    assert (len(second["rows"]), second["row_count"]) == (1000, 1500)
    assert [one["value"] for one in others] == [f"C{i}" for i in range(98)]
    assert said["changed_constants"][0]["row_count"] == count


def test_remarks_in_formats_without_room_for_them_are_headers(client: TestClient) -> None:
    rows = ROWS_OF_CLASSES | {"currency": ["EUR", "€", "EUR", "EUR"]}
    answer = ask_table(client, "/log_prob", rows, CSV, accept=CSV)
    classes = json.loads(answer.headers["x-bijecta-unknown-classes"])
    assert classes == [{k: v for k, v in one.items() if k != "rows"} for one in CLASSES]
    (changed,) = json.loads(answer.headers["x-bijecta-changed-constants"])
    assert (changed["value"], changed["row_count"]) == ("€", 1)
    many = {**{k: [v[0]] * 90 for k, v in TABLE.items()}, "country": [f"€{i}" for i in range(90)]}
    header = ask_table(client, "/log_prob", many, CSV, accept=CSV).headers[
        "x-bijecta-unknown-classes"
    ]
    assert len(header) <= 4001
    assert 20 < len(json.loads(header)) < 90
