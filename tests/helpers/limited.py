"""Requests of the Open Inference Protocol to a server with low limits, and its refusals."""

import json
from typing import Any

import httpx


def x(**change: Any) -> dict[str, Any]:
    """The input x of one row, changed; None takes a key away."""
    given = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, -0.5]} | change
    return {key: value for key, value in given.items() if value is not None}


def asked(*inputs: dict[str, Any], **more: Any) -> str:
    return json.dumps({"inputs": inputs, **more})


def assert_refused(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert content["status"] == status
    assert words in content["error"]


def assert_goes_on(client: httpx.Client) -> None:
    assert client.post("/v2/models/moons-maf/infer", content=asked(x())).status_code == 200
