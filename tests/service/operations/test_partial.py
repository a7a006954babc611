"""Rows without an answer: a refusal names them all, and `partial` answers the others."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.errors import InvalidInputError, NonFiniteOutputError
from service.operations.rows.faults import (
    MAX_ROWS_DESCRIBED,
    MAX_ROWS_LISTED,
    Fault,
    RowFaults,
)
from tests.helpers.contexts import CONTEXT, X
from tests.helpers.http import ARROW, DIGITS, MOONS, NPY, assert_problem, metric, to_npy

FAR = 1e38
INSIDE = DIGITS[:5]


def outside() -> Any:
    rows = INSIDE.copy()
    rows[1, 5], rows[4, 0] = 40, -3
    return rows


MOONS_FAR = MOONS[:5].copy()
MOONS_FAR[[0, 3]] = FAR

# endpoint, body, the rows without an answer, reason, words of the first
CASES: dict[str, tuple[str, dict[str, Any], list[int], str, str]] = {
    "too far, log_prob": (
        "log_prob",
        {"model": "moons-maf", "x": MOONS_FAR.tolist()},
        [0, 3],
        "non-finite-output",
        "row 0 has no finite answer",
    ),
    "too far, encode": (
        "encode",
        {"model": "moons-maf", "x": MOONS_FAR.tolist()},
        [0, 3],
        "non-finite-output",
        "row 0 has no finite answer",
    ),
    "too far, decode": (
        "decode",
        {"model": "moons-maf", "z": MOONS_FAR.tolist()},
        [0, 3],
        "non-finite-output",
        "row 0 has no finite answer",
    ),
    "outside the support": (
        "encode",
        {"model": "digits-nice", "x": outside().tolist()},
        [1, 4],
        "invalid-input",
        "x: row 1, column 5 is 40.0, outside the model's support",
    ),
    "no class": (
        "log_prob",
        {"model": "moons-context", "x": X, "context": [[1, "lower"], [1, "m"], ["no", "upper"]]},
        [1, 2],
        "invalid-input",
        "context: row 1, column 1 is 'm', expected 'half'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_names_all_rows_that_have_no_answer(client: httpx.Client, case: str) -> None:
    endpoint, body, rows, _, words = CASES[case]
    answer = client.post(f"/{endpoint}", json=body)
    assert_problem(answer, 422, f"2 such rows: {rows[0]}, {rows[1]}")
    problem = answer.json()
    assert problem["detail"].startswith(words)
    assert (problem["row"], problem["rows"]) == (rows[0], rows)
    assert [error["row"] for error in problem["errors"]] == rows
    assert all(f"row {error['row']}" in error["detail"] for error in problem["errors"])


def sound_part(body: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """The request of the other rows alone."""
    count = len(body.get("x") or body["z"])
    kept = [i for i in range(count) if i not in rows]
    return {k: [v[i] for i in kept] if isinstance(v, list) else v for k, v in body.items()}


@pytest.mark.parametrize("case", CASES)
def test_partial_answers_the_other_rows_as_if_they_were_alone(
    client: httpx.Client, case: str
) -> None:
    endpoint, body, rows, reason, words = CASES[case]
    answer = client.post(f"/{endpoint}", json=body | {"partial": True})
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert [(error["row"], error["reason"]) for error in content["errors"]] == [
        (row, reason) for row in rows
    ]
    assert content["errors"][0]["detail"].startswith(words)
    refused = client.post(f"/{endpoint}", json=body).json()
    assert content["errors"][0].get("column") == refused.get("column")
    alone = client.post(f"/{endpoint}", json=sound_part(body, rows)).json()
    assert "errors" not in alone
    for name in {"x", "z", "log_prob", "bits_per_dim"} & alone.keys():
        values = content[name]
        found = [value for i, value in enumerate(values) if i not in rows]
        np.testing.assert_allclose(found, alone[name], rtol=1e-5, atol=1e-6)
        assert np.isnan(np.array([values[row] for row in rows], float)).all()


def test_partial_in_binary_formats_marks_rows_and_names_them(client: httpx.Client) -> None:
    body, query = to_npy(MOONS_FAR), {"model": "moons-maf", "partial": "true"}
    npy = client.post("/encode", content=body, params=query, headers={"content-type": NPY})
    z = np.load(io.BytesIO(npy.content))
    assert npy.headers["x-bijecta-errors"] == "0,3"
    assert np.isnan(z).all(1).tolist() == [True, False, False, True, False]
    accept = {"content-type": NPY, "accept": ARROW}
    arrow = client.post("/encode", content=body, params=query, headers=accept)
    table = pa.ipc.open_stream(arrow.content).read_all()
    errors = json.loads(table.schema.metadata[b"errors"])
    assert [error["row"] for error in errors] == [0, 3]
    assert np.isnan(table["log_prob"].to_numpy()).tolist() == [True, False, False, True, False]


def test_partial_changes_nothing_where_every_row_has_an_answer(client: httpx.Client) -> None:
    body = {"model": "moons-context", "x": X, "context": CONTEXT}
    for endpoint in ("/log_prob", "/encode"):
        without = client.post(endpoint, json=body)
        assert client.post(endpoint, json=body | {"partial": True}).content == without.content


def test_partial_answers_where_no_row_has_one(client: httpx.Client) -> None:
    body = {"model": "moons-context", "x": X, "context": [[1, "a"]] * 3, "partial": True}
    answer = client.post("/encode", json=body).json()
    assert answer["log_prob"] == [None] * 3
    assert answer["z"] == [[None, None]] * 3
    assert [error["row"] for error in answer["errors"]] == [0, 1, 2]


def test_a_context_for_all_rows_is_refused_with_partial_too(client: httpx.Client) -> None:
    body = {"model": "moons-context", "x": X, "context": [1, "a"], "partial": True}
    assert_problem(client.post("/encode", json=body), 422, "context: row 0, column 1 is 'a'")


def test_partial_rows_keep_the_noise_of_their_seed(client: httpx.Client) -> None:
    rows = DIGITS[:4].copy()
    body = {"model": "digits-maf", "dequantize": 3, "seed": 7, "partial": True}
    whole = client.post("/log_prob", json=body | {"x": rows.tolist()}).json()
    rows[2, 0] = FAR
    part = client.post("/log_prob", json=body | {"x": rows.tolist()}).json()
    assert [error["row"] for error in part["errors"]] == [2]
    assert part["log_prob"][2] is part["bits_per_dim"][2] is None
    for name in ("log_prob", "bits_per_dim"):
        others = [0, 1, 3]
        expected = [whole[name][i] for i in others]
        np.testing.assert_allclose([part[name][i] for i in others], expected, rtol=1e-5)


def test_rows_without_an_answer_are_counted_with_partial_too(client: httpx.Client) -> None:
    before = metric(client, "bijecta_nonfinite_outputs_total", model="moons-maf")
    body = {"model": "moons-maf", "x": MOONS_FAR.tolist(), "partial": True}
    client.post("/log_prob", json=body)
    assert metric(client, "bijecta_nonfinite_outputs_total", model="moons-maf") == before + 2


def test_rows_outside_the_support_are_named_beside_their_null(client: httpx.Client) -> None:
    body = {"model": "digits-nice", "x": outside().tolist()}
    answer = client.post("/log_prob", json=body).json()
    assert answer["outside_support"] == [1, 4]
    assert [i for i, value in enumerate(answer["log_prob"]) if value is None] == [1, 4]
    inside = client.post("/log_prob", json=body | {"x": INSIDE.tolist()}).json()
    assert "outside_support" not in inside


def describe(_: int, row: int) -> Fault:
    return Fault(f"row {row} is wrong", {})


def test_what_is_said_of_many_rows_is_bounded() -> None:
    count = 3 * MAX_ROWS_LISTED
    with pytest.raises(InvalidInputError) as caught:
        RowFaults(count).check(np.ones(count, bool), InvalidInputError, describe)
    problem = caught.value.problem()
    assert problem["rows"] == list(range(MAX_ROWS_LISTED))
    assert (problem["row_count"], len(problem["errors"])) == (count, MAX_ROWS_DESCRIBED)
    assert len(problem["detail"]) < 200
    faults = RowFaults(count, partial=True)
    faults.check(np.ones(count, bool), InvalidInputError, describe)
    remarks = faults.remarks()
    assert (len(remarks["errors"]), remarks["error_count"]) == (MAX_ROWS_LISTED, count)


def test_a_row_is_named_by_the_first_of_its_faults() -> None:
    faults = RowFaults(4, partial=True)
    faults.check(np.array([False, True, False, False]), InvalidInputError, describe)
    faults.check(np.array([True, True, False, False]), NonFiniteOutputError, describe)
    faults.keep_sound()
    assert faults.kept(np.arange(4)).tolist() == [2, 3]
    faults.check(np.array([False, True]), NonFiniteOutputError, describe)
    answer = faults.whole({"y": np.array([5.0, 6.0], np.float32)})
    assert np.array_equal(answer["y"], [np.nan, np.nan, 5, np.nan], equal_nan=True)
    assert [(e["row"], e["reason"]) for e in faults.remarks()["errors"]] == [
        (0, "non-finite-output"),
        (1, "invalid-input"),
        (3, "non-finite-output"),
    ]
