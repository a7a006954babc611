"""What the watch over a detector says over HTTP, and how it begins anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.http.app import create_app
from tests.helpers.asgi import make_server
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.http import assert_problem, metric
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import FIRST_DAY
from tests.helpers.waiting import wait_until

RESET = "/v2/repository/models/detector/watch/reset"


@contextmanager
def app(store: Path, **settings: Any) -> Iterator[TestClient]:
    with TestClient(
        create_app(make_server(store, **settings)), base_url="http://localhost"
    ) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield client


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched")
    write_detector_bundle(folder)
    write_detector_bundle(folder, version=2)
    write_detector_bundle(folder, "uncalibrated", scores=None)
    write_tiny_bundle(folder, "tiny")
    return folder


def test_each_version_of_a_detector_has_a_watch(store: Path) -> None:
    with app(store) as client:
        said = client.get("/models/detector/watch").json()
        assert (said["model"], said["version"], said["rows"], said["alarm"]) == (
            "detector",
            2,
            0,
            None,
        )
        assert client.get("/models/detector/watch?version=1").json()["version"] == 1
        assert metric(client, "bijecta_drift_alarm", model="detector", version="1") == 0


def test_models_without_a_calibration_have_none(store: Path) -> None:
    with app(store) as client:
        for name in ("uncalibrated", "tiny"):
            answer = client.get(f"/models/{name}/watch")
            assert_problem(answer, 422, f"{name} has no calibration to test drift by")
        assert_problem(client.get("/models/other/watch"), 404, "no model 'other'")


def test_a_watch_begins_anew_where_models_may_be_controlled(store: Path) -> None:
    with app(store) as client:
        answer = client.post(RESET)  # refused in the words of the protocol, as loading is
        assert answer.status_code == 403
        assert "--model-control allows it" in answer.text
    with app(store, model_control=True) as client:
        assert client.post(RESET, params={"version": 1}).json()["version"] == 1
        assert client.post(RESET, headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.post(RESET.replace("detector", "tiny")).status_code == 400


def test_watching_is_turned_off(store: Path) -> None:
    with app(store, watch=False) as client:
        assert_problem(client.get("/models/detector/watch"), 422, "--no-watch")
        assert "bijecta_drift_alarm{" not in client.get("/metrics").text
        assert "bijecta_log_prob_bucket{" not in client.get("/metrics").text


def test_rows_that_are_scored_are_counted_and_tested(store: Path, tmp_path: Path) -> None:
    labels = {"model": "detector", "version": "2"}
    far = {"model": "detector", "x": [[1000.0, 0.3, 1.0, FIRST_DAY]] * 60}
    with app(store, watch_folder=tmp_path) as client:
        assert client.post("/score", json=far).status_code == 200
        said = client.get("/models/detector/watch").json()
        assert said["rows"] == 60
        assert (said["alarm"]["of"], said["alarm"]["values"]) == ("score", "larger")
        assert metric(client, "bijecta_p_value_count", **labels) == 60
        assert metric(client, "bijecta_p_value_bucket", le="0.05", **labels) == 60
        assert metric(client, "bijecta_log_prob_bucket", le="+Inf", **labels) == 60
        assert metric(client, "bijecta_drift_alarm", **labels) == 1
        body = {"model": "detector", "x": far["x"][:2]}
        assert client.post("/log_prob", json=body).status_code == 200
        assert metric(client, "bijecta_log_prob_bucket", le="+Inf", **labels) == 62
        assert client.get("/models/detector/watch?version=1").json()["rows"] == 0
    with app(store, watch_folder=tmp_path, model_control=True) as client:
        assert client.get("/models/detector/watch").json() == said
        assert metric(client, "bijecta_drift_alarm", **labels) == 1
        assert client.post(RESET).json()["alarm"] is None
        assert metric(client, "bijecta_drift_alarm", **labels) == 0
    with app(store, watch_folder=tmp_path) as client:
        assert client.get("/models/detector/watch").json()["rows"] == 0


def test_rows_without_an_answer_are_not_watched(store: Path) -> None:
    with app(store) as client:
        x = [[1.0, 0.3, 1.0, FIRST_DAY], [None, 0.3, 1.0, FIRST_DAY]]
        answer = client.post("/score", json={"model": "detector", "x": x, "partial": True})
        assert answer.status_code == 200
        rows = sum(p is not None for p in answer.json()["p_value"])
        assert client.get("/models/detector/watch").json()["rows"] == rows


def test_other_models_count_their_log_prob(store: Path) -> None:
    with app(store) as client:
        body = {"model": "tiny", "x": [[0.5, 0.5], [9.0, 9.0]]}
        assert client.post("/log_prob", json=body).status_code == 200
        assert metric(client, "bijecta_log_prob_bucket", le="+Inf", model="tiny", version="1") == 2
