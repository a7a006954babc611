"""Two workers with other settings, each on a server of its own, and what ends them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.http import metric
from tests.helpers.recipes import run_bijecta
from tests.helpers.servers import Serve, Served
from tests.helpers.tiny import ROW, write_tiny_bundle
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.long

BODY = {"x": [ROW]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    write_tiny_bundle(path, "tiny")
    return path


def started(serve: Serve, folder: Path, *options: Any, key: str = "") -> Served:
    one = serve("--store", folder, "--workers", "2", "--device", "cpu", *options)
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
    pid = served.process.pid
    first, _ = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(int(first), signal.SIGTERM)
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
