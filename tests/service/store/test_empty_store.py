"""A server without a model: it lives, is not ready, and says what there is to do."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service import store_polling
from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import until, wait_until


@pytest.mark.parametrize("poll_seconds", [0.0, 0.05])
def test_a_server_of_an_empty_store_lives_and_begins_with_the_first_model(
    tmp_path: Path,
    poll_seconds: float,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store_polling, "LOOK_SECONDS", 0.05)
    (tmp_path / ".gitignore").write_text("*\n")
    server = Server(Settings(store=tmp_path, device="cpu", poll_seconds=poll_seconds))

    async def work() -> None:
        async with server.running():
            await until(lambda: "the store is empty" in caplog.text)
            await asyncio.sleep(0.3)  # some looks later
            assert not server.ready
            write_tiny_bundle(tmp_path, "tiny")
            await until(lambda: server.ready)

    with caplog.at_level(logging.INFO):
        asyncio.run(work())
    assert server.polling.failure is None
    said = [record.getMessage() for record in caplog.records]
    (empty,) = [text for text in said if "the store is empty" in text]
    assert "bijecta export RUN --store STORE" in empty


def test_callers_of_an_empty_store_are_told_to_come_again(tmp_path: Path) -> None:
    server = Server(Settings(store=tmp_path, device="cpu"))
    with TestClient(create_app(server)) as client:
        assert client.get("/health/live").status_code == 200
        wait_until(lambda: "empty" in client.get("/health/ready").json()["reason"])
        readiness = client.get("/health/ready")
        assert readiness.status_code == 503
        assert "`bijecta export RUN --store STORE`" in readiness.json()["reason"]
        answer = client.post("/log_prob", json={"x": [[0.0, 0.0]]})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/models").json()["models"] == []


def test_a_store_of_refused_bundles_is_waited_for_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_polling, "LOOK_SECONDS", 0.05)
    path = write_tiny_bundle(tmp_path, "tiny")
    content = (path / "encode.onnx").read_bytes()
    (path / "encode.onnx").write_bytes(b"no graph")
    server = Server(Settings(store=tmp_path, device="cpu"))

    async def work() -> None:
        async with server.running():
            await until(lambda: "no bundle could be loaded" in caplog.text)
            assert not server.ready
            (path / "encode.onnx").write_bytes(content)
            await until(lambda: server.ready)

    asyncio.run(work())
    assert sum("is altered" in record.getMessage() for record in caplog.records) == 1


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    failures: list[Any] = []
    server = Server(Settings(store=tmp_path / "none", device="cpu"))
    server.polling.on_failure = lambda: failures.append(server.polling.failure)

    async def work() -> None:
        async with server.running():
            await until(lambda: bool(failures))

    asyncio.run(work())
    assert "there is no store at" in str(failures[0])
    assert str(tmp_path / "none") in str(failures[0])
