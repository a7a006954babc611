"""From start to stop, under load: nothing that was accepted is lost."""

import json
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from service.http.app import create_app
from service.runtime import Cancellation
from service.server import Server
from service.settings import Settings, SettingsError
from service.store.loader import Loader, Model
from tests.helpers.http import NPY, metric
from tests.helpers.recipes import run_bijecta
from tests.helpers.servers import Serve
from tests.helpers.stores import NAME, add_version, folder
from tests.helpers.waiting import wait_until
from tests.stored.files import app

__all__ = ["folder"]

BODY = {"model": NAME, "x": [[0.5, 0.5]]}


def test_health_comes_at_once_and_answers_when_models_are_loaded(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, load = threading.Event(), Loader.load

    def slow(
        self: Loader, path: Path, cancellation: Cancellation, identity: tuple[str, int]
    ) -> Model:
        assert loading.wait(20)
        return load(self, path, cancellation, identity)

    monkeypatch.setattr(Loader, "load", slow)
    server = Server(Settings(store=store, device="cpu"))
    with TestClient(create_app(server)) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 503
        assert client.get("/v2/health/ready").status_code == 503
        early = client.post("/log_prob", json=BODY)
        assert early.status_code == 503
        assert early.headers["retry-after"] == "1"
        loading.set()
        started = time.monotonic()
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() - started < 20
            time.sleep(0.02)
        assert client.post("/log_prob", json=BODY).status_code == 200


class Load:
    """Callers that ask again and again, each on a connection that it keeps.

    They end when told to, or when an answer says that the server is going.
    """

    def __init__(self, url: httpx.URL, callers: int) -> None:
        self.url = url
        self.stop = threading.Event()
        self.sent_away = 0
        self.answers: list[int] = []
        self.lost: list[Exception] = []
        self._pool = ThreadPoolExecutor(callers)
        for _ in range(callers):
            self._pool.submit(self._call)

    def _call(self) -> None:
        client = httpx.Client(base_url=self.url, timeout=30)
        while not self.stop.is_set():
            try:
                answer = client.post("/log_prob", json=BODY)
            except httpx.HTTPError as error:
                self.lost.append(error)
                continue
            self.answers.append(answer.status_code)
            if answer.headers.get("connection") == "close":
                self.sent_away += 1
                return

    def end(self) -> None:
        self.stop.set()
        self._pool.shutdown()


def test_sigterm_under_load_loses_nothing(folder: Path, serve: Serve) -> None:
    served = serve("--store", folder, "--drain-seconds", "2")
    url = served.client.base_url
    load = Load(url, callers=8)
    wait_until(lambda: len(load.answers) >= 100)
    with ThreadPoolExecutor(2) as pool:
        ask = {"url": f"{url}/sample", "json": {"n": 60_000}, "timeout": 60}
        samples = [pool.submit(httpx.post, **ask) for _ in range(2)]  # type: ignore[arg-type]
        wait_until(lambda: metric(served.client, "bijecta_batch_rows_sum", graph="decode") > 0)
        served.process.send_signal(signal.SIGTERM)
        # it says that it is going, and still answers
        wait_until(lambda: served.client.get("/health/ready").status_code == 503)
        answer = served.client.post("/log_prob", json=BODY)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        # every caller is told, and what is in progress is answered whole
        assert served.process.wait(timeout=60) == 0
    for sample in samples:
        assert len(sample.result().json()["x"]) == 60_000
    load.end()
    assert load.lost == []
    assert set(load.answers) == {200}
    assert load.sent_away == 8


def test_a_stream_that_nobody_takes_any_more_does_not_hold_the_stop(
    folder: Path, serve: Serve
) -> None:
    served = serve("--store", folder, "--stop-seconds", "120")
    url = served.client.base_url
    with socket.create_connection((url.host, url.port), timeout=60) as connection:
        lines = ["POST /sample?n=10000000 HTTP/1.1", "Host: here", f"Accept: {NPY}"]
        connection.sendall("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
        assert connection.recv(1000)[:12] == b"HTTP/1.1 200"
        served.client.close()
        served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0


STUCK = """
import sys, time
from service import cli, work_threads
work_threads._call_yielding = lambda *_: print("at work", file=sys.stderr) or time.sleep(300)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_the_process_ends_after_its_grace_though_a_thread_works_on(
    folder: Path, serve: Serve
) -> None:
    served = serve("--store", folder, "--stop-seconds", "1", program=STUCK)
    body = {"model": NAME, "x": [[0.5, 0.5]] * 10_000}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(served.client.post, "/log_prob", json=body)
        wait_until(lambda: "at work\n" in served.log)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=60) == 0
        with pytest.raises(httpx.TransportError):
            asked.result()


def test_a_second_signal_ends_it_at_once(folder: Path, serve: Serve) -> None:
    served = serve("--store", folder, "--drain-seconds", "60")
    served.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert served.client.get("/health/ready").status_code == 503
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(timeout=5)


def test_a_version_replaced_twenty_times_under_load_fails_nobody(
    folder: Path, serve: Serve
) -> None:
    served = serve("--store", folder, "--poll-seconds", "0.05")
    load = Load(served.client.base_url, callers=4)
    for version in range(2, 22):
        add_version(folder, version, source=version - 1)
        shutil.rmtree(folder / NAME / str(version - 1))
        started = time.monotonic()
        while served.client.post("/log_prob", json=BODY).json()["version"] != version:
            assert time.monotonic() - started < 20
            time.sleep(0.01)
    load.end()
    assert load.lost == []
    assert set(load.answers) == {200}
    assert metric(served.client, "bijecta_model_info") <= 2
    served.end()


def test_model_settings_are_of_one_model(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "models.toml"
    file.write_text(f"[{NAME}]\nqueue_rows = 1\nbatch_rows = 1\n")
    with app(folder, model_settings=file) as client:
        assert client.post("/log_prob", json=BODY).status_code == 200
    file.write_text("[another]\nqueue_rows = 1\n")
    said = "there are settings of another, and no such model in the store"
    with app(folder, model_settings=file):
        wait_until(lambda: said in caplog.text)
    file.write_text(json.dumps({}))
    with pytest.raises(SettingsError, match=r"models\.toml"):
        Server(Settings(store=folder, model_settings=file, device="cpu"))
    file.write_text(f"[{NAME}]\ncolour = 1\n")
    done = run_bijecta("serve", "--store", folder, "--model-settings", file, cwd=tmp_path)
    assert done.returncode == 1
    assert "colour is not known" in done.stderr
