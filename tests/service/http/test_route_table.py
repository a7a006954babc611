"""A new question is one entry: its route, its documentation and its metrics follow from it."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from pydantic import Field

from service.http.app import create_app
from service.http.routes import flow
from service.operations import (
    FLOW_OPERATIONS,
    Answer,
    FlowOperation,
    FlowRequest,
    LogProbRequest,
    Operations,
)
from service.operations.values import Array
from service.store import Model
from tests.helpers.asgi import make_server
from tests.helpers.http import ARROW, NPY
from tests.helpers.waiting import wait_until

X = [[0.5, 0.5], [9.0, 9.0]]


class JudgeRequest(FlowRequest):
    """Rows to judge."""

    npy_fields = ("x",)
    outputs = ("anomaly", "reasons", "rank")

    x: Array

    threshold: Annotated[float, Field(description="in nats")] = -5.0


async def judge(
    operations: Operations, model: Model, request: JudgeRequest, deadline: float
) -> Answer:
    """Whether each row is an anomaly, and why."""
    answer = await operations.log_prob(model, LogProbRequest(x=request.x), deadline)
    log_prob = answer.arrays["log_prob"]
    anomaly = log_prob < request.threshold
    reasons = np.where(anomaly, "far from the data", "").astype(np.dtypes.StringDType())
    return Answer({"anomaly": anomaly, "reasons": reasons, "rank": np.argsort(log_prob)})


@pytest.fixture(scope="module")
def judging(moons_store: Path) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        entry = FlowOperation("judge", JudgeRequest, judge)
        patch.setattr(flow, "FLOW_OPERATIONS", (*FLOW_OPERATIONS, entry))
        app = create_app(make_server(moons_store))
    with TestClient(app) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield client


def test_a_decision_leaves_in_every_format(judging: TestClient) -> None:
    body = {"x": X}
    said = judging.post("/judge", json=body).json()
    assert said == {
        "model": "moons-maf",
        "version": 1,
        "anomaly": [False, True],
        "reasons": ["", "far from the data"],
        "rank": [1, 0],
    }
    assert judging.post("/judge", json=body | {"threshold": -1e9}).json()["anomaly"] == [False] * 2
    as_arrow = judging.post("/judge", json=body, headers={"accept": ARROW})
    table = pa.ipc.open_stream(as_arrow.content).read_all().to_pydict()
    assert table == {name: said[name] for name in ("anomaly", "reasons", "rank")}
    for name in ("anomaly", "reasons", "rank"):
        url = f"/judge?output={name}"
        as_npy = judging.post(url, json=body, headers={"accept": NPY})
        assert np.load(io.BytesIO(as_npy.content)).tolist() == said[name]
    assert judging.post("/judge?output=x", json=body).status_code == 422


def test_documentation_and_metrics_follow(judging: TestClient) -> None:
    paths = judging.get("/openapi.json").json()["paths"]
    described: dict[str, Any] = paths["/judge"]["post"]
    assert described["summary"] == "Whether each row is an anomaly, and why."
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert "threshold" in schema["properties"]
    assert judging.post("/judge", json={}).status_code == 422
    assert judging.get("/judge").status_code == 405
    text = judging.get("/metrics").text
    of = 'endpoint="judge",model="unknown"'
    for line in (
        f'bijecta_request_failures_total{{{of},reason="invalid-input"}} ',
        f'bijecta_request_failures_total{{{of},reason="method-not-allowed"}} 1.0',
        f'bijecta_requests_total{{code="405",{of}}} 1.0',
    ):
        assert line in text


def test_every_endpoint_has_its_series_from_the_start_and_no_other_path_any(
    moons_store: Path,
) -> None:
    server = make_server(moons_store)
    with TestClient(create_app(server)) as client:
        for path in ("/nope1", "/v2/models/nope2/nope3", "/judge", "/log_prob/nope4"):
            client.get(path)
            client.post(path)
        text = client.get("/metrics").text
    labels = {
        line.split('endpoint="')[1].split('"')[0]
        for line in text.splitlines()
        if "endpoint=" in line
    }
    assert labels == {operation.name for operation in FLOW_OPERATIONS} | {
        "infer",
        "other",
        "docs",
        "playground",
    }
    for name in labels - {"other"}:
        of = f'endpoint="{name}",model="unknown"'
        assert f'bijecta_requests_total{{code="200",{of}}} 0.0' in text
        assert f'bijecta_request_failures_total{{{of},reason="overloaded"}} 0.0' in text
