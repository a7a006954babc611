"""What the Open Inference Protocol says of single rows: none, some without an answer, and nulls."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.helpers.http import DIGITS
from tests.helpers.open_inference import Caller, X, tensor, wanted

FAR = X.copy()
FAR[[1, 4]] = 1e38


@pytest.mark.parametrize("binary", [True, False])
def test_partial_answers_the_other_rows(call: Caller, binary: bool) -> None:
    status, words = call.refused("infer", "moons-maf", [tensor("x", FAR)])
    assert status == 400
    assert "2 such rows: 1, 4" in words
    outputs = wanted("log_prob", "z", binary=binary)
    parameters = {"partial": True}
    result = call("infer", "moons-maf", [tensor("x", FAR)], outputs=outputs, parameters=parameters)
    errors = json.loads(result.get_response()["parameters"]["errors"])
    assert [(error["row"], error["reason"]) for error in errors] == [
        (1, "non-finite-output"),
        (4, "non-finite-output"),
    ]
    others = [0, 2, 3, 5, 6]
    alone = call("infer", "moons-maf", [tensor("x", FAR[others])])
    for name in ("log_prob", "z"):
        found = result.as_numpy(name)
        np.testing.assert_allclose(found[others], alone.as_numpy(name), rtol=1e-5, atol=1e-6)
        assert np.isnan(found[[1, 4]]).all()


def test_partial_has_no_use_in_samples(call: Caller) -> None:
    n = [tensor("n", np.array([1]))]
    status, words = call.refused("infer", "moons-maf.sample", n, parameters={"partial": True})
    assert (status, words) == (400, "parameter partial has no use here: n → x, log_prob")


def test_rows_outside_the_support_are_a_parameter_of_binary_answers_too(call: Caller) -> None:
    rows = DIGITS[:4].astype(np.float32)
    rows[[0, 3], 5] = 40
    result = call("infer", "digits-nice", [tensor("x", rows)], outputs=wanted("log_prob"))
    assert np.isneginf(result.as_numpy("log_prob")).tolist() == [True, False, False, True]
    assert result.get_response()["parameters"] == {"outside_support": "0,3"}
    inside = call("infer", "digits-nice", [tensor("x", rows[1:3])], outputs=wanted("log_prob"))
    assert "parameters" not in inside.get_response()


@pytest.mark.parametrize("binary", [True, False])
def test_no_rows_have_an_answer_of_no_rows(call: Caller, binary: bool) -> None:
    for model, name, shape, outputs in (
        ("moons-maf", "x", (0, 2), {"log_prob": (0,), "z": (0, 2)}),
        ("moons-maf.decode", "z", (0, 2), {"x": (0, 2), "log_prob": (0,)}),
        ("digits-maf", "x", (0, 64), {"log_prob": (0,), "z": (0, 64)}),
    ):
        given = [tensor(name, np.zeros(shape, np.float32), binary)]
        result = call("infer", model, given, outputs=wanted(*outputs, binary=binary))
        for output, expected in outputs.items():
            assert result.as_numpy(output).shape == expected
    drawn = call(
        "infer",
        "digits-image.sample",
        [tensor("n", np.array([0]), binary), tensor("context", np.array([[3]]), binary)],
        outputs=wanted("x", binary=binary),
    )
    assert drawn.as_numpy("x").shape == (0, 1, 8, 8)


def test_a_raw_body_of_no_bytes_is_no_rows(native: httpx.Client) -> None:
    headers = {"Inference-Header-Content-Length": "0"}
    answer = native.post("/v2/models/moons-maf/infer", content=b"", headers=headers)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["Inference-Header-Content-Length"])
    shapes = {o["name"]: o["shape"] for o in json.loads(answer.content[:length])["outputs"]}
    assert shapes == {"log_prob": [0], "z": [0, 2]}


INPUT = {"name": "x", "shape": [7, 2], "datatype": "FP32", "data": X.ravel().tolist()}


@pytest.mark.parametrize(
    "request_",
    [
        {"inputs": [INPUT], "id": None},
        {"inputs": [INPUT], "parameters": None},
        {"inputs": [INPUT], "parameters": {"seed": None, "timeout": None, "other": None}},
        {"inputs": [INPUT], "outputs": None},
        {"inputs": [INPUT | {"parameters": None}]},
        {"inputs": [INPUT | {"parameters": {"binary_data_size": None}}]},
        {
            "inputs": [INPUT],
            "outputs": [
                {"name": "log_prob", "parameters": None},
                {"name": "z", "parameters": {"binary_data": None, "classification": None}},
            ],
        },
    ],
    ids=json.dumps,
)
def test_null_counts_as_left_out(native: httpx.Client, request_: dict[str, Any]) -> None:
    answer = native.post("/v2/models/moons-maf/infer", json=request_)
    assert answer.status_code == 200, answer.text
    plain = native.post("/v2/models/moons-maf/infer", json={"inputs": [INPUT]})
    assert answer.json() == plain.json()


def test_null_counts_as_left_out_of_the_repositorys_requests(native: httpx.Client) -> None:
    everything = native.post("/v2/repository/index", content="{}").json()
    assert native.post("/v2/repository/index", content='{"ready": null}').json() == everything
    url = "/v2/repository/models/moons-maf/load"
    assert native.post(url, content='{"parameters": null}').status_code == 200


def test_answers_of_rows_are_those_of_the_native_endpoints(
    call: Caller, native: httpx.Client
) -> None:
    body = {"model": "moons-maf", "x": FAR.tolist(), "partial": True}
    said = native.post("/encode", json=body).json()
    expected = {name: np.array(said[name], np.float32) for name in ("log_prob", "z")}
    result = call("infer", "moons-maf", [tensor("x", FAR)], parameters={"partial": True})
    found = {name: result.as_numpy(name) for name in expected}
    for name in expected:
        assert np.array_equal(found[name], expected[name], equal_nan=True)
