"""Columns by name in JSON, CSV, Arrow and Parquet: one reading of values, and one of names."""

import datetime
from typing import Any

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from tests.helpers.http import ARROW, assert_problem
from tests.helpers.tables import (
    CSV,
    FORMATS,
    JSON,
    PARQUET,
    Table,
    ask_table,
    csv_body,
    parquet_body,
)
from tests.helpers.typed import TABLE, log_prob

DAY = datetime.date(2024, 2, 29)
Z = [[0.1, -2.0, -0.5, -123.5], [0.1, -2.0, 1.5, -123.5]]
"""Of the middle of each cell."""

BINARY = (ARROW, PARQUET)


@pytest.mark.parametrize("kind", FORMATS)
def test_columns_are_taken_by_name_in_any_order(tables: TestClient, kind: str) -> None:
    turned = dict(reversed(list(TABLE.items()))) | {"id": ["a", "b"]}  # left out of the model
    for table in (TABLE, turned):
        said = ask_table(tables, "/encode", table, kind, seed=None if kind == JSON else 5)
        drawn = said.json()["z"]
        assert said.status_code == 200
        assert [row[0] for row in drawn] == [0.1, 0.1]
        if kind == JSON:
            assert drawn == Z
        else:  # the seed of the query string is taken
            assert said.json()["seed"] == 5
    assert ask_table(tables, "/encode", turned, kind).json()["z"] == Z
    scored = ask_table(tables, "/log_prob", turned, kind).json()
    assert scored["log_prob"] == [pytest.approx(log_prob(0.1), rel=1e-12)] * 2


WRONG: dict[str, tuple[Table, str]] = {
    "a null": ({"amount": [0.1, None]}, "'amount': expected a finite number, got missing"),
    "text for a number": ({"amount": ["1", "?"]}, "'amount': expected a finite number, got '?'"),
    "much text": ({"amount": ["1", "9" * 99]}, ""),
    "off the step": ({"count": [0.3, 0.34]}, "'count': expected a number that is a multiple"),
    "no time": ({"seen": [*TABLE["seen"][:1], "soon"]}, "'seen': expected a time such as '2024-01"),
    "no day": ({"seen": ["2024-02-29", "2024-02-30"]}, "a multiple of 86400 s, got '2024-02-30'"),
    "hours": ({"seen": ["2024-02-29", "2024-02-29 01:00"]}, "got '2024-02-29 01:00'"),
    "a number for a time": ({"seen": [None, 5]}, "'seen': expected a time such as"),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("case", WRONG)
def test_values_of_another_kind_are_refused_with_row_and_column(
    tables: TestClient, kind: str, case: str
) -> None:
    change, words = WRONG[case]
    answer = ask_table(tables, "/encode", {**TABLE, **change}, kind)
    if not words:  # a number of many digits is one, as text too
        assert answer.status_code == 200
        return
    assert_problem(answer, 422, words)
    problem = answer.json()
    assert problem["column"] == next(iter(change))
    assert problem["row"] == (0 if case == "a number for a time" else 1)


@pytest.mark.parametrize("kind", FORMATS)
def test_names_that_are_not_the_tables_are_told_with_those_that_are(
    tables: TestClient, kind: str
) -> None:
    table = {("amont" if k == "amount" else k): v for k, v in TABLE.items()}
    words = "the table lacks 'amount', and has 'amont', which it does not know; the columns are "
    assert_problem(ask_table(tables, "/encode", table, kind), 422, words + "'amount', 'count'")
    few = {"amount": [1.0]}
    answer = ask_table(tables, "/log_prob", few, kind)
    assert_problem(answer, 422, "lacks 'count', 'country', 'seen'; the columns are 'amount'")


@pytest.mark.parametrize("kind", FORMATS)
def test_unknown_classes_are_another_one_or_refused(tables: TestClient, kind: str) -> None:
    table = {**TABLE, "country": ["DE", "XX"]}
    z = ask_table(tables, "/encode", table, kind).json()["z"]
    assert [row[2] for row in z] == [-1.5, 0.5]
    words = "row 1, column 'country': expected one of 'DE', 'FR', got 'XX'"
    assert_problem(ask_table(tables, "/encode", table, kind, "known"), 422, words)
    words = "row 1, column 'country': expected one of 'DE', 'FR', got missing"
    assert_problem(ask_table(tables, "/encode", TABLE, kind, "known"), 422, words)


@pytest.mark.parametrize("kind", FORMATS)
def test_numbers_and_times_may_be_text(tables: TestClient, kind: str) -> None:
    table = {
        "amount": ["0.1", "1e-1"],
        "count": [" 0.3", ".30"],
        "country": ["FR", "NA"],
        "seen": ["2024-02-29T00:00:00Z", "2024-02-29"],
    }
    assert ask_table(tables, "/encode", table, kind).json()["z"] == Z


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_are_of_any_unit(tables: TestClient, kind: str, unit: str, zone: str | None) -> None:
    moment = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
    times = pa.array([moment, moment], pa.timestamp(unit, zone))
    assert ask_table(tables, "/encode", {**TABLE, "seen": times}, kind).json()["z"] == Z


@pytest.mark.parametrize("kind", BINARY)
def test_columns_are_of_any_type_that_fits(tables: TestClient, kind: str) -> None:
    country = pa.array(["FR", None])
    with_null = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["FR", None]))
    for change in (
        {"country": with_null if kind == ARROW else country},  # which Parquet does not write
        {"country": country.dictionary_encode()},
        {"country": country.cast(pa.large_string()), "seen": pa.array([DAY, DAY])},
        {"country": country.cast(pa.string_view()), "seen": pa.array([DAY, DAY], pa.date64())},
        {"amount": pa.array([0.1, 0.1]).dictionary_encode(), "count": pa.array([0.3] * 2, "f4")},
        {"amount": pa.array(["0.1", "0.1"]).dictionary_encode()},
        {"amount": pa.array([100, 100], pa.duration("ms"))},
        {"count": pa.array(["0.3"] * 2).cast(pa.decimal128(4, 2))},
        {"country": pa.array(["FR", None]), "amount": pa.chunked_array([[0.1], [0.1]])},
    ):
        assert ask_table(tables, "/encode", {**TABLE, **change}, kind).json()["z"] == Z
    gaps = pa.array([1, None], pa.int64())
    answer = ask_table(tables, "/encode", {**TABLE, "amount": gaps}, kind)
    assert_problem(answer, 422, "row 1, column 'amount': expected a finite number, got missing")
    nothing = {**TABLE, "country": pa.nulls(2)}
    assert ask_table(tables, "/encode", nothing, kind).json()["z"] == [Z[1], Z[1]]
    truth = {**TABLE, "amount": pa.array([True, False])}
    assert_problem(ask_table(tables, "/encode", truth, kind), 422, "a finite number, got True")
    of_day = {**TABLE, "seen": pa.array([datetime.time()] * 2)}
    assert_problem(ask_table(tables, "/encode", of_day, kind), 422, "'seen': expected a time such")


def test_lists_of_codes_may_have_nulls(tables: TestClient) -> None:
    seen = 1709164800.0
    rows = pa.array([[0.1, 0.3, 1.0, seen], [0.1, 0.3, None, seen]], pa.list_(pa.float64(), 4))
    assert ask_table(tables, "/encode", {"x": rows}, ARROW).json()["z"] == Z


@pytest.mark.parametrize("kind", [CSV, *BINARY])
def test_a_context_stands_beside_the_rows(tables: TestClient, kind: str) -> None:
    for name in ("mean", "context"):
        table = {**TABLE, "amount": [5.1, 7.1], name: [5.0, 7.0]}
        z = ask_table(tables, "/encode", table, kind, "conditional").json()["z"]
        assert [row[0] for row in z] == pytest.approx([0.1, 0.1])
    gap = {**TABLE, "mean": [5.0, None]}
    answer = ask_table(tables, "/encode", gap, kind, "conditional")
    assert_problem(answer, 400, "column 'mean' has nulls")


@pytest.mark.parametrize("kind", [CSV, *BINARY])
def test_flows_take_columns_of_numbers(tables: TestClient, kind: str) -> None:
    table: Table = {"x1": [2, 4.5], "x0": [1, 3]}
    assert ask_table(tables, "/log_prob", table, kind, "tiny").json()["log_prob"] == [3.0, 7.5]
    answer = ask_table(tables, "/log_prob", {**table, "x1": [2, None]}, kind, "tiny")
    assert_problem(answer, 400, "column 'x1' has nulls")
    said = ask_table(tables, "/log_prob", {**table, "x1": [2, None]}, kind, "tiny", partial="true")
    assert said.json()["log_prob"] == [3.0, None]
    answer = ask_table(tables, "/log_prob", {**table, "x1": ["2", "b"]}, kind, "tiny")
    assert_problem(answer, 422, "column 'x1' holds text, expected numbers, got 'b'")
    answer = ask_table(tables, "/log_prob", {**table, "x1": ["2", "−1"]}, kind, "tiny")
    assert_problem(answer, 422, "got '−1', which has a minus sign of print (−), not the one of")
    z = {"z.0": [1.0], "z.1": [2.0]}
    assert ask_table(tables, "/decode", z, kind, "tiny").json()["x"] == [[1.0, 2.0]]
    if kind != CSV:
        truth = {**table, "x1": pa.array([True, False])}
        answer = ask_table(tables, "/log_prob", truth, kind, "tiny")
        assert_problem(answer, 400, "column 'x1' is of truth values, not numbers")


@pytest.mark.parametrize("kind", [CSV, *BINARY])
def test_paths_and_no_rows(tables: TestClient, kind: str) -> None:
    path = ask_table(tables, "/interpolate", TABLE, kind, steps=3).json()
    assert [path["z"][0], path["z"][-1]] == Z
    none = {name: pa.array([], pa.string()) for name in TABLE}
    assert ask_table(tables, "/encode", none, kind).json()["z"] == []


BAD_CSV: dict[str, tuple[bytes, int, str]] = {
    "no header": (b"\n\r\n", 400, "expected a header of names"),
    "ragged": (b"a,b\n1,2\n3\n", 422, "row 1 (line 3): expected 2 cells as in the header, got 1"),
    "longer": (b"a,b\n1,2,3\n", 422, "row 0 (line 2): expected 2 cells as in the header, got 3"),
    "open quote": (b'a,b\n1,"2\n3,4\n', 400, "unexpected end of data"),
    "behind a quote": (b'a,b\n"1"2,3\n', 400, "line 2: ',' expected after '\"'"),
    "no UTF-8": (b"a,b\n1,\xe9\n", 400, "byte 0xe9, in line 1 or behind it, is not UTF-8"),
    "a name twice": (b"a,a\n1,2\n", 400, "several columns have one name: a"),
    "a long cell": (b"a,b\n1," + b"9" * 200_000, 400, "field larger than field limit"),
    "semicolons": (b"amount;count\n1;2\n", 422, "but 'amount;count'; its only name holds"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(tables: TestClient, case: str) -> None:
    body, status, words = BAD_CSV[case]
    answer = tables.post("/log_prob?model=typed", content=body, headers={"content-type": CSV})
    assert_problem(answer, status, words)


def test_csv_as_programs_write_it(tables: TestClient) -> None:
    plain = csv_body(TABLE)
    variants = (
        plain,
        b"\xef\xbb\xbf" + plain,  # as spreadsheets begin it
        plain.replace(b"\r\n", b"\n"),
        plain.replace(b"\r\n", b"\r"),
        plain.strip() + b"\r\n\r\n\r\n",
        plain.replace(b",", b'","').replace(b"\r\n", b'"\r\n"')[:-1].join([b'"', b""]),
        plain.replace(b"amount", b" amount "),
    )
    for body in variants:
        for kind in (CSV, "text/csv; charset=utf-8; header=present", "Text/CSV"):
            answer = tables.post(
                "/encode?model=typed",
                content=body,
                headers={"content-type": kind, "accept": "application/json"},
            )
            assert answer.json()["z"] == Z, body


BAD_PARQUET: dict[str, tuple[bytes, int, str]] = {
    "nothing of it": (b"no file at all", 400, "it does not begin and end as one"),
    "lists": (parquet_body({"amount": [[1.0]]}), 400, "column 'amount' is of lists or structs"),
    "structs": (parquet_body({"amount": [{"a": 1}]}), 400, "'amount' is of lists or structs"),
    "bytes": (parquet_body({"amount": [b"a"]}), 400, "column 'amount' is of binary, not numbers"),
    "differences": (
        parquet_body(
            {"amount": ["a"]}, column_encoding={"amount": "DELTA_BYTE_ARRAY"}, use_dictionary=False
        ),
        400,
        "column 'amount' is encoded as Parquet's encoding 7, which is not read",
    ),
}


@pytest.mark.parametrize("case", BAD_PARQUET)
def test_bad_parquet(tables: TestClient, case: str) -> None:
    body, status, words = BAD_PARQUET[case]
    answer = tables.post("/log_prob?model=typed", content=body, headers={"content-type": PARQUET})
    assert_problem(answer, status, words)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "gzip", "write_page_index": True, "write_page_checksum": True},
        {"version": "1.0", "data_page_version": "2.0"},
        {"use_dictionary": False},
        {"row_group_size": 1},
        {"column_encoding": {"amount": "BYTE_STREAM_SPLIT"}, "use_dictionary": False},
        {"store_schema": False},
    ],
    ids=str,
)
def test_parquet_as_programs_write_it(tables: TestClient, options: dict[str, Any]) -> None:
    headers = {"content-type": PARQUET, "accept": JSON}
    for change in ({}, {"seen": pa.array([DAY, DAY])}):
        body = parquet_body({**TABLE, **change}, **options)
        answer = tables.post("/encode?model=typed", content=body, headers=headers)
        assert answer.json()["z"] == Z
    moments = pa.array([datetime.datetime(2024, 2, 29)] * 2, pa.timestamp("ns"))
    body = parquet_body({**TABLE, "seen": moments}, use_deprecated_int96_timestamps=True)
    assert tables.post("/encode?model=typed", content=body, headers=headers).json()["z"] == Z
