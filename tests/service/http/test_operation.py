"""Models, health, metrics and documentation over HTTP."""

import signal
from pathlib import Path

import httpx

from service.codecs import CODECS
from tests.helpers.http import metric
from tests.helpers.recipes import RECIPES
from tests.helpers.servers import Serve
from tests.helpers.tiny import write_tiny_bundle
from tests.stored.files import app


def test_models_are_listed_with_their_provider(client: httpx.Client) -> None:
    listed = client.get("/models").json()
    assert [m["name"] for m in listed["models"]] == sorted(RECIPES)
    assert all(m["provider"] == "CPUExecutionProvider" for m in listed["models"])
    assert listed["refused"] == []
    manifest = client.get("/models/digits-maf").json()
    assert manifest["cost"] == {"encode": "parallel", "decode": "sequential"}
    assert manifest["event_shape"] == [64]
    assert manifest["tolerances"]["log_prob_per_dim_max"] <= 1e-4
    assert client.get("/models/moons-iaf?version=1").json()["cost"]["encode"] == "sequential"


def test_health_and_documentation(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"live": True}
    assert client.get("/health/ready").json() == {"ready": True}
    assert client.get("/docs").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    for endpoint in ("/log_prob", "/encode", "/decode", "/sample", "/interpolate"):
        content = paths[endpoint]["post"]["requestBody"]["content"]
        assert set(content) == {codec.media_type for codec in CODECS if codec.body_types}
        bodies = content["application/json"]["schema"]["anyOf"]
        assert len(bodies) == 3  # to a flow, to typed columns, to an ensemble
        assert all(body["properties"] for body in bodies)


def test_metrics_count_requests_rows_durations_and_failures(client: httpx.Client) -> None:
    def figures() -> list[float]:
        ok = {"endpoint": "decode", "code": "200"}
        return [
            metric(client, "bijecta_requests_total", **ok),
            metric(client, "bijecta_requests_total", endpoint="decode", code="422"),
            metric(client, "bijecta_request_duration_seconds_count", endpoint="decode"),
            metric(client, "bijecta_request_rows_sum", endpoint="decode", model="moons-maf"),
            metric(client, "bijecta_request_failures_total", endpoint="decode"),
        ]

    client.post("/decode", json={"model": "moons-maf", "z": [[0, 0]]})
    client.post("/decode", json={})
    before = figures()
    for z in ([[0, 0], [1, 1], [2, 2]], [[0]]):
        client.post("/decode", json={"model": "moons-maf", "z": z})
    assert [b - a for a, b in zip(before, figures(), strict=True)] == [1, 1, 2, 3, 1]
    assert metric(client, "bijecta_model_info") == len(RECIPES)


def test_unknown_urls_make_no_new_series(client: httpx.Client) -> None:
    for path in ("/nope1", "/nope2", "/models/nope3"):
        client.get(path)
    assert "nope" not in client.get("/metrics").text


def test_the_default_model_is_used_where_none_is_named(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "one")
    with app(tmp_path) as client:
        assert client.post("/sample").json()["model"] == "one"
    write_tiny_bundle(tmp_path, "other")
    with app(tmp_path, default_model="other") as client:
        assert client.post("/sample", json={"n": 1}).json()["model"] == "other"


def test_sigterm_ends_the_server_with_exit_code_0(moons_store: Path, serve: Serve) -> None:
    process = serve("--store", moons_store).process
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
