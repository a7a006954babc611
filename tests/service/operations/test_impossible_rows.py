"""Rows that cannot occur are the anomalies: /score answers them, in every form and format."""

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.helpers.http import ARROW, NPY, assert_problem, to_npy
from tests.helpers.tables import CSV, FORMATS, PARQUET, ask_table, read_answer
from tests.helpers.typed import DAY, FIRST_DAY

USUAL = {"amount": 0.0, "count": 0.0, "country": "DE", "seen": "2024-01-01"}
CONSTANTS = {"currency": "EUR", "code": 978, "note": None}

# A column, a value that it cannot have, the same as JSON has it, and the values expected.
IMPOSSIBLE: dict[str, tuple[str, Any, Any, list[Any]]] = {
    "off the step": ("count", 0.34, 0.34, [0.0, 0.1]),
    "beyond the range": ("count", 7.0, 7.0, [0.0, 0.1]),
    "below the range": ("count", -0.1, -0.1, [0.0, 0.1]),
    "hour of a day": ("seen", "2024-02-29 12:00", "2024-02-29 12:00", ["2024-01-01", "2024-01-02"]),
    "nothing": ("amount", None, None, [0.0, 1.0]),
    "another constant": ("currency", "USD", "USD", ["EUR"]),
    "another number": ("code", 840, 840, [978]),
    "no constant": ("currency", None, None, ["EUR"]),
    "something at last": ("note", "urgent", "urgent", [None]),
}


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/score", json={"model": "detector", **body})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_an_impossible_value_is_the_anomaly_and_its_reason(
    detectors: TestClient, kind: str
) -> None:
    name, value, seen, expected = IMPOSSIBLE[kind]
    rows = [USUAL | CONSTANTS, {**USUAL, **CONSTANTS, name: value}]
    said = ask(detectors, rows=rows, reasons=3)
    assert (said["score"], said["log_prob"]) == ([0.0, None], [0.0, None])
    assert said["p_value"] == [1.0, 0.05]
    assert said["anomaly"] == [False, True]
    assert said["outside_support"] == [1]
    reason = {"column": name, "value": seen, "expected": expected, "share": 1.0}
    assert said["reasons"] == [[], [reason]]
    table = {column: [row[column] for row in rows] for column in rows[0]}
    for body in FORMATS:
        answer = ask_table(detectors, "/score", table, body, "detector", reasons=3).json()
        assert answer["score"] == [0.0, None], body
        assert answer["p_value"] == said["p_value"]
        assert answer["reasons"] == said["reasons"]
    for accept in (CSV, ARROW, PARQUET):
        columns = read_answer(
            ask_table(detectors, "/score", table, CSV, "detector", accept, reasons=1)
        )
        assert [float(each) for each in columns["score"]] == [0.0, math.inf]
        assert columns["reason.0"] == ["", name]
        assert json.loads(columns["reason.0.expected"][1]) == expected


def test_all_impossible_values_share_the_blame(detectors: TestClient) -> None:
    row = {**USUAL, **CONSTANTS, "count": 0.34, "code": 1, "country": "IT"}
    (reasons,) = ask(detectors, rows=[row], reasons=9)["reasons"]
    assert [(each["column"], each["share"]) for each in reasons] == [("count", 0.5), ("code", 0.5)]


def test_arrays_are_decided_on_alike(detectors: TestClient) -> None:
    x = np.array([[0, 0, 0, FIRST_DAY], [np.nan, 0, 0, FIRST_DAY], [0, 0, 0, FIRST_DAY + DAY / 2]])
    headers = {"content-type": NPY}
    answer = detectors.post("/score?model=detector", content=to_npy(x), headers=headers)
    assert np.load(io.BytesIO(answer.content)).tolist() == [0.0, math.inf, math.inf]
    tensor = {"name": "x", "shape": [3, 4], "datatype": "FP64"}
    head = {"inputs": [{**tensor, "parameters": {"binary_data_size": x.nbytes}}]}
    content = json.dumps(head).encode()
    said = detectors.post(
        "/v2/models/detector.score/infer",
        content=content + x.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(content))},
    ).json()
    assert said["outputs"][0]["data"][1:] == [np.finfo("f8").max] * 2
    listed: list[list[float | None]] = x.tolist()
    listed[1][0] = None
    said = ask(detectors, x=listed, reasons=1)
    assert [each and each[0]["value"] for each in said["reasons"]] == [[], None, x[2, 3]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amount": "much"}, "column 'amount': expected a finite number, got 'much'"),
        ({"amount": True}, "column 'amount'"),
        ({"count": "a few"}, "column 'count'"),
        ({"country": 5}, "column 'country': expected a class such as 'DE'"),
        ({"seen": 5}, "column 'seen': expected a time"),
        ({"seen": "2024-02-30"}, "column 'seen': expected a time"),
        # beside one that is impossible
        ({"count": 0.34, "amount": "much"}, "row 0, column 'amount': expected a finite number"),
    ],
)
def test_what_is_no_value_of_its_column_stays_an_error(
    detectors: TestClient, change: dict[str, Any], words: str
) -> None:
    body = {"model": "detector", "rows": [USUAL | change, USUAL | {"count": 0.34}]}
    assert_problem(detectors.post("/score", json=body), 422, words)
    said = ask(detectors, **body | {"partial": True, "reasons": 1})
    assert (said["p_value"], said["anomaly"]) == ([None, 0.05], [False, True])
    assert [error["row"] for error in said["errors"]] == [0]
    assert said["reasons"][1][0]["value"] == 0.34


def test_log_prob_stays_as_it_is(detectors: TestClient) -> None:
    body = {"model": "detector", "rows": [USUAL | {"count": 0.34}]}
    assert_problem(detectors.post("/log_prob", json=body), 422, "number that is a multiple of 0.1")
    body = {"model": "detector", "rows": [USUAL | {"currency": "USD"}]}
    said = detectors.post("/log_prob", json=body).json()
    assert said["log_prob"] == [0.0]
    assert said["changed_constants"][0]["value"] == "USD"


def test_the_word_that_was_sent_is_the_value_of_a_reason(detectors: TestClient) -> None:
    usual = ask(detectors, rows=[USUAL] * 3, reasons=1)
    assert usual["reasons"] == [[]] * 3
    bad = USUAL | {"amount": "much"}
    rows = [bad, USUAL, USUAL | {"country": "IT"}, USUAL | {"country": "FR"}]
    rows.append(USUAL | {"country": "x" * 500})
    said = ask(detectors, rows=rows, reasons=1, partial=True)["reasons"]
    values = [each and each[0]["value"] for each in said]
    assert values == [None, [], "IT", "FR", "x" * 100 + "…"]
