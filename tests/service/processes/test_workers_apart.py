"""Two workers with other settings, each on a server of its own, and what ends them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.helpers.http import metric
from tests.helpers.recipes import run_bijecta
from tests.helpers.servers import Serve, Served
from tests.helpers.stores import NAME, add_version
from tests.helpers.tiny import ROW, write_tiny_bundle
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.long

BODY = {"x": [ROW]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    write_tiny_bundle(path, "tiny")
    return path


def started(serve: Serve, store: Path | str, *options: Any, key: str = "") -> Served:
    one = serve("--store", store, "--workers", "2", "--device", "cpu", *options)
    if key:
        one.client.headers["authorization"] = f"Bearer {key}"
    wait_until(lambda: metric(one.client, "bijecta_workers", state="ready") == 2)
    return one


def callers(served: Served, count: int) -> list[httpx.Client]:
    """Clients with a connection each."""
    url, headers = served.client.base_url, served.client.headers
    clients = [httpx.Client(base_url=url, timeout=30, headers=headers) for _ in range(count)]
    for client in clients:
        assert client.get("/health/live").status_code == 200
    return clients


def test_a_key_has_its_rate_once_whichever_worker_is_asked(
    serve: Serve, folder: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.json"
    options = ("--keys", keys, "--rows-per-second", "20", "--scope", "ask,metrics")
    key = run_bijecta("keys", "add", "ci", *options, cwd=tmp_path).stdout.strip()
    served = started(serve, folder, "--keys", keys, key=key)
    clients, began, granted = callers(served, 6), time.monotonic(), 0
    while time.monotonic() < began + 3:
        for client in clients:
            granted += client.post("/log_prob", json=BODY).status_code == 200
    assert granted <= 20 * (time.monotonic() - began + 1) + 1
    assert granted >= 40
    served.end()


def test_grpc_is_answered_by_all_workers(serve: Serve, folder: Path) -> None:
    grpc = pytest.importorskip("grpc")
    from service.grpc.protos import messages
    from tests.helpers.grpc_calls import METHOD, grpc_port

    served = started(serve, folder, "--grpc-port", "0")
    address = f"127.0.0.1:{grpc_port(served)}"
    channels = [
        grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(16)
    ]
    for channel in channels:
        ready = channel.unary_unary(f"{METHOD}ServerReady")
        said = messages.ServerReadyResponse.FromString(ready(b"", timeout=30))
        assert said.ready
    asked = {"endpoint": "grpc-other", "model": "unknown", "code": "200"}
    assert metric(served.client, "bijecta_requests_total", **asked) == 16
    for channel in channels:
        channel.close()
    served.end()


def test_a_killed_worker_breaks_off_its_grpc_calls_whose_callers_ask_the_others(
    serve: Serve, folder: Path
) -> None:
    grpc = pytest.importorskip("grpc")
    from tests.helpers.grpc_calls import METHOD, grpc_port, infer_request

    served = started(serve, folder, "--grpc-port", "0")
    question = infer_request("tiny", ("x", np.array([ROW], np.float32))).SerializeToString()
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
    address = f"127.0.0.1:{grpc_port(served)}"
    channels = [grpc.insecure_channel(address, options) for _ in range(16)]
    codes, stop = [Counter[str]() for _ in channels], threading.Event()

    def ask_on(channel: Any, said: Counter[str]) -> None:
        call = channel.unary_unary(f"{METHOD}ModelInfer")
        while not stop.is_set():
            try:
                call(question, timeout=30)
                said["OK"] += 1
            except grpc.RpcError as error:
                said[error.code().name] += 1
                time.sleep(0.02)

    def every_caller_is_answered() -> Callable[[], bool]:
        before = [said["OK"] for said in codes]
        return lambda: all(said["OK"] > then for said, then in zip(codes, before, strict=True))

    threads = [
        threading.Thread(target=ask_on, args=each) for each in zip(channels, codes, strict=True)
    ]
    for thread in threads:
        thread.start()
    wait_until(every_caller_is_answered())
    killed, other = served.workers
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: any(said["UNAVAILABLE"] for said in codes))
    wait_until(every_caller_is_answered())  # by the other one, or by who takes its place
    wait_until(lambda: metric(served.client, "bijecta_workers", state="ready") == 2, pause=0.1)
    wait_until(every_caller_is_answered())
    stop.set()
    for thread in threads:
        thread.join()
    for channel in channels:
        channel.close()
    said = sum(codes, Counter[str]())
    assert said.keys() == {"OK", "UNAVAILABLE"}  # no call is without an end
    asked = {"endpoint": "grpc-infer", "model": "tiny", "code": "200"}
    counted = metric(served.client, "bijecta_requests_total", **asked)
    assert abs(said["OK"] - counted) <= len(channels)  # what the worker was about when it ended
    assert metric(served.client, "bijecta_worker_restarts_total") == 1
    assert other in served.workers
    served.end()


@pytest.mark.parametrize("has_cache", [True, False])
def test_a_load_is_of_what_a_store_elsewhere_has_by_then_in_every_worker(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_cache: bool
) -> None:
    far = tmp_path / "far"
    write_tiny_bundle(far, NAME)
    temporary, file = tmp_path / "tmp", tmp_path / "file"
    temporary.mkdir()
    file.touch()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))  # the user has no cache
    cache = ("--cache", tmp_path / "cache") if has_cache else ()
    options = (*cache, "--poll-seconds", "100", "--log-repeat-seconds", "0")
    served = started(serve, f"file://{far}", "--model-control", *options)
    clients, took = callers(served, 8), list[str]()
    for version, client in enumerate(clients, 2):
        add_version(far, version)
        assert client.post(f"/v2/repository/models/{NAME}/load").status_code == 200
        found = {one.post("/log_prob", json=BODY).json()["version"] for one in clients}
        assert found == {version}
        took.append(f"took {NAME}/{version},")
        wait_until(lambda: any(took[-1] in line for line in served.log))
    # one of the workers, and no other
    assert all(sum(one in line for line in served.log) == 1 for one in took)
    served.end()
    assert not any(temporary.iterdir())


def test_workers_share_a_unix_socket_and_end_with_their_parent(
    folder: Path, tmp_path: Path
) -> None:
    path, log = tmp_path / "socket", tmp_path / "log"
    options = map(str, ("--store", folder, "--uds", path, "--workers", 2, "--device", "cpu"))
    command = [sys.executable, "-m", "service.cli", "serve", *options]
    with log.open("w") as file:
        parent = subprocess.Popen(command, stderr=file)
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://here")

    def ready_workers() -> float:
        try:
            return metric(client, "bijecta_workers", state="ready")
        except httpx.TransportError:
            return 0

    try:
        wait_until(lambda: ready_workers() == 2)
        assert client.post("/log_prob", json=BODY).status_code == 200
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) == 2
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(Path(f"/proc/{child}/fd").exists() for child in children))
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_signals_end_all_workers_as_well(serve: Serve, folder: Path, number: int) -> None:
    served = started(serve, folder, "--drain-seconds", "0")
    served.process.send_signal(number)
    assert served.process.wait(timeout=60) == 0
    assert not any("Traceback" in line for line in served.log)


def test_a_worker_that_is_told_to_end_alone_is_replaced(serve: Serve, folder: Path) -> None:
    served = started(serve, folder)
    first, _ = served.workers
    os.kill(first, signal.SIGTERM)
    for _ in range(20):
        (client,) = callers(served, 1)
        assert client.post("/log_prob", json=BODY).status_code == 200
        time.sleep(0.05)
    wait_until(lambda: metric(served.client, "bijecta_worker_restarts_total") == 1)
    wait_until(lambda: metric(served.client, "bijecta_workers", state="ready") == 2)
    assert any("worker" in line and "ended with code 0" in line for line in served.log)
    served.end()


def test_what_cannot_start_ends_with_its_code_and_one_line(folder: Path, tmp_path: Path) -> None:
    options = ("--store", folder, "--workers", "2", "--keys", tmp_path / "none.json")
    done = run_bijecta("serve", *options, "--port", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("none.json") == 1
    done = run_bijecta("serve", *options[:2], "--workers", "2", "--device", "cpu:1", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bijecta: threads: 1 cannot be divided among 2 workers")
