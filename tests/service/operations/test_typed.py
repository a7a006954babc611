"""Questions to a model of typed columns: rows by name and as arrays, in float64, with gaps."""

import io
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from service.http.routes import flow
from tests.helpers.http import ARROW, NPY, assert_problem, to_npy
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import COLUMNS, DAY, FIRST_DAY, log_prob, write_typed_bundle
from tests.stored.files import app

RECORD: dict[str, Any] = {"amount": 0.1, "count": 0.3, "country": "FR", "seen": "2024-02-29"}
X = [0.1, 0.3, 1, FIRST_DAY + 59 * DAY]
Z = [0.1, -2.0, -0.5, -123.5]
"""Of the middle of each cell."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = tmp_path_factory.mktemp("typed")
    write_typed_bundle(store)
    write_typed_bundle(store, "conditional", context=True)
    closed = [*COLUMNS[:2], {**COLUMNS[2], "other": False, "missing": False}, COLUMNS[3]]
    edit(write_typed_bundle(store, "known"), columns=closed, self_test=None, raw_values=CARRIED)
    write_tiny_bundle(store, "tiny")
    with app(store) as client:
        yield client


CARRIED = ["classes", "point_masses", "ranges"]


def ask(client: TestClient, endpoint: str, model: str = "typed", **body: Any) -> dict[str, Any]:
    answer = client.post(endpoint, json={"model": model, **body})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def refused(
    client: TestClient, endpoint: str, words: str, model: str = "typed", **body: Any
) -> Any:
    answer = client.post(endpoint, json={"model": model, **body})
    assert_problem(answer, 422, words)
    return answer.json()


def test_rows_by_name_are_those_of_arrays(client: TestClient) -> None:
    turned = dict(reversed(RECORD.items())) | {"id": "a 7"}  # left out, and in another order
    gap = RECORD | {"country": None}
    by_record = ask(client, "/encode", rows=[turned, gap | {"id": 8}])
    columns = {name: [RECORD[name], gap[name]] for name in RECORD}
    assert by_record == ask(client, "/encode", columns=columns)
    assert by_record == ask(client, "/encode", x=[X, [*X[:2], None, X[3]]])
    assert by_record["z"] == [Z, [*Z[:2], 1.5, Z[3]]]
    expected = [log_prob(0.1)] * 2
    assert by_record["log_prob"] == pytest.approx(expected, rel=1e-12)
    assert ask(client, "/log_prob", rows=[RECORD, gap])["log_prob"] == by_record["log_prob"]


def test_numbers_and_dates_may_be_text(client: TestClient) -> None:
    text = {"amount": "0.1", "count": " 0.3", "country": "FR", "seen": "2024-02-29T00:00:00Z"}
    assert ask(client, "/encode", rows=[text])["z"] == [Z]


@pytest.mark.parametrize("value", [0.1, 2.0**53 - 1, 1e-300, 16777217.0, -1 / 3])
def test_float64_survives(client: TestClient, value: float) -> None:
    row = [value, *X[1:]]
    for fields in ({"x": [row]}, {"rows": [RECORD | {"amount": value}]}):
        z = ask(client, "/encode", **fields)["z"]
        assert z[0][0] == value
        assert ask(client, "/decode", z=z)["x"] == [row]
        assert ask(client, "/decode", z=z, records=True)["rows"][0]["amount"] == value
    answer = client.post(
        "/encode?model=typed", content=to_npy(np.array([row])), headers={"content-type": NPY}
    )
    assert np.load(io.BytesIO(answer.content))[0, 0] == value
    body = {"name": "x", "shape": [1, 4], "datatype": "FP64", "data": row}
    said = client.post("/v2/models/typed/infer", json={"inputs": [body]}).json()
    assert said["outputs"][1]["data"][0] == value


def test_decode_is_the_inverse_of_encode_wherever_in_a_cell(client: TestClient) -> None:
    random = np.random.default_rng(0)
    countries = [None, "DE", "FR", "(other)"]
    rows = [
        {
            "amount": random.normal(),
            "count": int(random.integers(11)) / 10,
            "country": countries[random.integers(4)],
            "seen": str(np.datetime64("2024-01-01") + int(random.integers(366))),
        }
        for _ in range(200)
    ]
    for seed in (None, 0, 1, 2**64 - 1):
        encoded = ask(client, "/encode", rows=rows, seed=seed)
        assert encoded.get("seed") == seed
        assert ask(client, "/decode", z=encoded["z"], records=True)["rows"] == rows
    assert len(np.unique(np.array(encoded["z"])[:, 1])) == 200  # drawn


def test_the_place_in_a_cell_is_the_seeds(client: TestClient) -> None:
    all_rows = ask(client, "/encode", rows=[RECORD] * 3, seed=5)["z"]
    assert ask(client, "/encode", rows=[RECORD], seed=5)["z"] == all_rows[:1]
    assert ask(client, "/encode", rows=[RECORD], seed=6)["z"] != all_rows[:1]
    outside = RECORD | {"count": 1.1}
    partly = ask(client, "/encode", rows=[RECORD, outside, RECORD], seed=5, partial=True)
    assert [partly["z"][0], partly["z"][2]] == [all_rows[0], all_rows[2]]
    assert [error["row"] for error in partly["errors"]] == [1]


OUTSIDE = {
    "off the lattice": ([0.1, 0.34, 1, X[3]], "column 'count' is 0.34", "multiples of 0.1, 0 to 1"),
    "beyond the range": ([0.1, 1.1, 1, X[3]], "column 'count' is 1.1", "0 to 1"),
    "no code": ([0.1, 0.3, 3, X[3]], "column 'country' is 3.0", "codes 0 to 2"),
    "below all codes": ([0.1, 0.3, -1, X[3]], "column 'country' is -1.0", "codes 0 to 2"),
    "between codes": ([0.1, 0.3, 0.5, X[3]], "column 'country' is 0.5", "codes 0 to 2"),
    "no whole day": ([0.1, 0.3, 1, X[3] + 60], "column 'seen' is", "multiples of 86400 s"),
    "far out": ([0.1, 1e308, 1, X[3]], "column 'count' is 1e+308", "0 to 1"),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_values_without_a_probability(client: TestClient, kind: str) -> None:
    row, said, expected = OUTSIDE[kind]
    scored = ask(client, "/log_prob", x=[X, row, X])
    assert scored["log_prob"] == [pytest.approx(log_prob(0.1)), None, pytest.approx(log_prob(0.1))]
    assert scored["outside_support"] == [1]
    problem = refused(client, "/encode", f"x: row 1, {said}", x=[X, row])
    assert expected in problem["detail"]
    assert (problem["row"], problem["rows"]) == (1, [1])
    ends: dict[str, Any] = {"start": X, "end": row, "steps": 3}
    refused(client, "/interpolate", f"end: row 0, {said}", **ends)
    partly = ask(client, "/encode", x=[row, X], partial=True)
    assert partly["z"] == [[None] * 4, Z]


def test_values_outside_by_name(client: TestClient) -> None:
    scored = ask(client, "/log_prob", rows=[RECORD, RECORD | {"count": 2}])
    assert scored["outside_support"] == [1]


LONGER = {name: [value] for name, value in RECORD.items()} | {"amount": [1, 2]}

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"amount": "much"}, "column 'amount': expected a finite number, got 'much'"),
    "null": ({"amount": None}, "column 'amount': expected a finite number, got missing"),
    "NaN as text": ({"amount": "NaN"}, "column 'amount': expected a finite number, got 'NaN'"),
    "infinity as text": ({"amount": "-inf"}, "column 'amount'"),
    "truth": ({"amount": True}, "column 'amount': expected a finite number, got True"),
    "huge text": ({"amount": "9" * 500}, "column 'amount': expected a finite number, got '999"),
    "off the step": ({"count": 0.34}, "column 'count': expected a number that is a multiple of 0."),
    "number for a time": ({"seen": 5}, "column 'seen': expected a time such as '2024-01-01'"),
    "no date": ({"seen": "2024-02-30"}, "column 'seen': expected a time"),
    "hour of a day": (
        {"seen": "2024-02-29 12:00"},
        "column 'seen': expected a time such as '2024-01-01', a multiple of 86400 s",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_that_is_none_of_its_column(client: TestClient, kind: str) -> None:
    change, words = WRONG[kind]
    problem = refused(client, "/log_prob", f"row 1, {words}"[:60], rows=[RECORD, RECORD | change])
    assert words in problem["detail"]
    assert (problem["row"], problem["column"]) == (1, next(iter(change)))
    columns = {name: [RECORD[name], (RECORD | change)[name]] for name in RECORD}
    for fields in ({"rows": [RECORD, RECORD | change]}, {"columns": columns}):
        partly = ask(client, "/log_prob", **fields, partial=True)
        assert partly["log_prob"] == [pytest.approx(log_prob(0.1)), None]
        assert [error["row"] for error in partly["errors"]] == [1]
    ends: dict[str, Any] = {"start": RECORD, "end": RECORD | change, "steps": 2}
    refused(client, "/interpolate", "end: row 0, column", **ends)


def test_classes_that_are_unknown(client: TestClient) -> None:
    new = RECORD | {"country": "XX"}
    assert ask(client, "/encode", rows=[new])["z"][0][2] == 0.5  # another one
    words = "row 0, column 'country': expected one of 'DE', 'FR', got 'XX'"
    refused(client, "/encode", words, "known", rows=[new])
    refused(client, "/encode", "got missing", "known", rows=[RECORD | {"country": None}])
    refused(client, "/encode", "'country' has no value", "known", x=[[0.1, 0.3, None, X[3]]])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"rows": [{"amont": 1}]}, "none of the columns 'amount', 'count', 'country', 'seen', but"),
        ({"columns": {"amount": [1], "x": [1]}}, "lacks 'count', 'country', 'seen', and has 'x'"),
        ({"rows": [RECORD, {"amount": 1}]}, "row 1 lacks 'count', 'country', 'seen'"),
        ({"columns": LONGER}, "'amount' has 2 values, and 'count' 1"),
        ({"rows": [RECORD], "x": [X]}, "expected one of x, rows"),
        ({"rows": RECORD}, "rows: got {'amount': 0.1, "),
        ({"rows": [X]}, "rows: got [[0.1, "),
        ({"columns": [X]}, "columns: got [[0.1, "),
        ({"columns": {"amount": 1}}, "columns: got {'amount': 1}, expected "),
        ({"rows": [{}]}, "lacks 'amount'"),
        ({"rows": [RECORD | {"amount": [1]}]}, "expected a number, text, true, false or null"),
        ({"rows": [RECORD | {"amount": {"a": 1}}]}, "got dict"),
        ({"x": [[0.1, 0.3, "FR", 0]]}, "the string 'FR'"),
        ({"x": [[True, 0.3, 1, 0]]}, "[0][0] is true"),
        ({"x": [X[:3]]}, "expected N × 4 numbers"),
        ({"x": X}, "a single row is written [x]"),
        ({"x": 5}, "expected N × 4 numbers"),
        ({"x": None}, "expected N × 4 numbers"),
        ({"rows": [RECORD], "dequantize": 3}, "dequantize is not known here"),
    ],
)
def test_rows_that_are_none_of_the_table(
    client: TestClient, fields: dict[str, Any], words: str
) -> None:
    refused(client, "/log_prob", words, **fields)


HOSTILE = {
    "whole number of 400 digits": '"rows": [{"amount": ' + "9" * 400 + "}]",
    "number of 400 digits in x": '"x": [[' + "9" * 400 + ", 0.3, 1, 0]]",
    "NaN and infinity": '"x": [[NaN, Infinity, 1, 0]]',
    "deep rows": '"rows": [{"amount": ' + "[" * 500 + "]" * 500 + "}]",
    "deep objects": '"rows": [' + '{"a": ' * 500 + "1" + "}" * 500 + "]",
    "deep x": '"x": ' + "[" * 500 + "]" * 500,
    "too deep": '"rows": ' + "[" * 5000 + "]" * 5000,
    "a name of a megabyte": '"rows": [{"' + "a" * 2**20 + '": 1}]',
    "a value of a megabyte": '"rows": [{"amount": "' + "a" * 2**20 + '"}]',
    "names that are not printed": '"rows": [{"\\u0000\\ud800": 1}]',
    "many names": '"rows": [{' + ", ".join(f'"a{i}": 1' for i in range(50_000)) + "}]",
    "a number for rows": '"rows": 5',
    "null rows": '"rows": null',
    "null": '"rows": [null]',
    "columns of nothing": '"columns": {}',
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("endpoint", ["/log_prob", "/encode"])
def test_hostile_values_are_refused_in_a_line(client: TestClient, kind: str, endpoint: str) -> None:
    body = '{"model": "typed", ' + HOSTILE[kind] + "}"
    answer = client.post(
        endpoint, content=body.encode(), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422), answer.text[:500]
    detail = answer.json()["detail"]
    assert len(detail) < 2000
    assert "\n" not in detail


def test_limits_hold_before_anything_is_built(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("service.operations.typed.named.to_rows", never)
    many = {"model": "typed", "columns": {"amount": [1] * 65_537}}
    assert_problem(client.post("/log_prob", json=many), 413, "65537 rows are more than the 65536")
    keys = {"model": "typed", "rows": [dict.fromkeys("abcdefgh", 1)] * 8200 + [{"z" * 2**18: 1}]}
    assert_problem(client.post("/log_prob", json=keys), 413, "keys in JSON")


def test_samples_have_the_log_prob_of_their_rows(client: TestClient) -> None:
    drawn = ask(client, "/sample", n=50, seed=3, records=True)
    assert ask(client, "/log_prob", rows=drawn["rows"])["log_prob"] == drawn["log_prob"]
    again = ask(client, "/sample", n=50, seed=3)
    assert ask(client, "/log_prob", x=again["x"])["log_prob"] == drawn["log_prob"]
    assert ask(client, "/sample", n=20, seed=3)["x"] == again["x"][:20]
    assert ask(client, "/sample", n=5, seed=3, temperature=1e-9)["x"][0][1] == 0.5
    refused(client, "/sample", "quantize: this model's columns", n=1, quantize=True)


def test_large_answers_in_records_are_the_small_ones(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.post("/sample", json={"model": "typed", "n": 3000, "seed": 1, "records": True})
    assert len(whole.json()["rows"]) == 3000
    monkeypatch.setattr(flow, "MIN_RECORD_NUMBERS", 10**9)
    assert client.post("/sample", json=json.loads(whole.request.content)).content == whole.content


def test_paths_between_rows(client: TestClient) -> None:
    end = RECORD | {"count": 1, "seen": "2024-03-04"}
    by_name = ask(client, "/interpolate", start=RECORD, end=end, steps=5)
    assert by_name["rows"][0] == RECORD
    assert by_name["rows"][-1] == end
    assert [row["seen"] for row in by_name["rows"]][1] == "2024-03-01"
    x = [X[0], 1, 1, X[3] + 4 * DAY]
    by_array = ask(client, "/interpolate", start=X, end=x, steps=5)
    assert by_array["z"] == by_name["z"]
    assert by_array["x"][-1] == x
    refused(client, "/interpolate", "start: expected one row", start=[X], end=x)


def test_a_context_is_of_float64(client: TestClient) -> None:
    mean = 1e9 + 1 / 3
    for fields in ({"x": [[mean, *X[1:]]]}, {"rows": [RECORD | {"amount": mean}]}):
        z = ask(client, "/encode", "conditional", **fields, context=[[mean]])["z"]
        assert z == [[0.0, *Z[1:]]]
    drawn = ask(client, "/sample", "conditional", n=1, seed=0, context=[[mean]])
    plain = ask(client, "/sample", "conditional", n=1, seed=0, context=[[0]])
    assert drawn["x"][0][0] == plain["x"][0][0] + mean
    refused(client, "/encode", "context is missing", "conditional", x=[X])


def test_no_rows(client: TestClient) -> None:
    every: list[dict[str, Any]] = [{"x": []}, {"rows": []}, {"columns": {k: [] for k in RECORD}}]
    for fields in every:
        assert ask(client, "/encode", **fields)["z"] == []
        assert ask(client, "/log_prob", **fields)["log_prob"] == []
    assert ask(client, "/decode", z=[], records=True)["rows"] == []
    assert ask(client, "/sample", n=0, records=True)["rows"] == []


def test_arrays_in_binary_have_gaps(client: TestClient) -> None:
    x = np.array([[*X[:2], math.nan, X[3]], [0.1, 7, 1, X[3]]])
    answer = client.post("/log_prob?model=typed", content=to_npy(x), headers={"content-type": NPY})
    assert np.load(io.BytesIO(answer.content))[1] == -math.inf
    assert answer.headers["x-bijecta-outside-support"] == "1"
    wide: dict[str, Any] = {"name": "x", "shape": [2, 4], "datatype": "FP64"}
    wide["parameters"] = {"binary_data_size": x.nbytes}
    head = json.dumps({"inputs": [wide], "outputs": [{"name": "log_prob"}]}).encode()
    sent = {"Inference-Header-Content-Length": str(len(head))}
    said = client.post("/v2/models/typed/infer", content=head + x.tobytes(), headers=sent).json()
    assert said["outputs"][0]["datatype"] == "FP64"
    assert said["outputs"][0]["data"] == [pytest.approx(log_prob(0.1)), -np.finfo("f8").max]
    assert said["parameters"] == {"outside_support": "1"}
    described = client.get("/v2/models/typed").json()
    assert {t["datatype"] for t in described["inputs"] + described["outputs"]} == {"FP64"}


@pytest.mark.parametrize(
    "array", [np.float64(3), np.zeros(4), np.zeros((2, 3)), np.zeros((2, 4, 1))]
)
@pytest.mark.parametrize("endpoint", ["log_prob", "encode", "decode", "interpolate"])
def test_arrays_of_other_shapes_are_refused(client: TestClient, array: Any, endpoint: str) -> None:
    url, headers = f"/{endpoint}?model=typed", {"content-type": NPY}
    assert_problem(client.post(url, content=to_npy(array), headers=headers), 422, "expected")


def test_tables_of_arrow_by_name(client: TestClient) -> None:
    turned = {name: [RECORD[name]] for name in reversed(RECORD)}
    batch = pa.RecordBatch.from_pydict(turned)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body, kind = sink.getvalue().to_pybytes(), {"content-type": ARROW, "accept": "application/json"}
    answer = client.post("/encode?model=typed", content=body, headers=kind)
    assert answer.json()["z"] == [Z]


def test_flows_beside_tables_answer_as_ever(client: TestClient) -> None:
    x = [[0.1, 0.2], [1e300, 0]]
    said = ask(client, "/encode", "tiny", x=x[:1])
    assert said["z"] == x[:1]  # in the shortest digits of float32
    refused(client, "/encode", "expected finite float32 numbers; [1][0] is 1e+300", "tiny", x=x)
    refused(client, "/encode", "rows: tiny is no model of typed columns", "tiny", rows=[RECORD])
    refused(client, "/sample", "records is not known here", "tiny", records=True)
    answer = client.post("/sample?model=tiny&n=2&seed=1")
    assert len(answer.json()["x"]) == 2


def test_a_table_that_has_only_just_come_is_to_be_asked_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.store.Store.has_tables", False)
    answer = client.post("/encode", json={"model": "typed", "x": [[0.1, 0.3, 1, FIRST_DAY]]})
    assert_problem(answer, 503, "typed has just been loaded: ask again")
    assert answer.headers["retry-after"] == "1"


def test_a_table_is_described(client: TestClient) -> None:
    listed = {model["name"]: model for model in client.get("/models").json()["models"]}
    described = client.get("/models/typed").json()
    for said in (listed["typed"], described):
        assert said["kind"] == "table"
        assert said["event_shape"] == [4]
        assert [column["name"] for column in said["columns"]] == list(RECORD)
        assert said["cost"] == {"encode": "parallel", "decode": "sequential"}
    assert described["format_version"] == 2
    assert "kind" not in listed["tiny"]
