"""What the watch over a detector says over HTTP, and how it begins anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.http.app import create_app
from tests.helpers.asgi import make_server, wait_until
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.http import assert_problem, metric
from tests.helpers.tiny import write_tiny_bundle

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
