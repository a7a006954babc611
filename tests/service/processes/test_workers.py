"""Two workers on one port: nothing that was accepted is lost but with its process."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.http import metric, metric_of
from tests.helpers.servers import Serve, Served
from tests.helpers.tiny import ROW, write_tiny_bundle
from tests.helpers.waiting import wait_until

BODY = {"model": "tiny", "x": [ROW]}
ASKED = {"endpoint": "log_prob", "model": "tiny", "code": "200"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    write_tiny_bundle(path, "tiny")
    write_tiny_bundle(path, "other")
    return path


@pytest.fixture(scope="module")
def served(folder: Path, serve: Serve) -> Iterator[Served]:
    """Two workers, which are ready."""
    options = ("--device", "cpu", "--model-control", "--poll-seconds", "0.3")
    one = serve("--store", folder, "--workers", "2", *options)
    wait_until(lambda: ready_workers(one) == 2, pause=0.1)
    yield one
    one.end()


def ready_workers(served: Served) -> float:
    return metric(served.client, "bijecta_workers", state="ready")


def callers(served: Served, count: int) -> list[httpx.Client]:
    """Clients with a connection each."""
    url, clients = served.client.base_url, []
    for _ in range(count):
        clients.append(httpx.Client(base_url=url, timeout=30))
        assert clients[-1].get("/health/live").status_code == 200
    return clients


def statuses(clients: list[httpx.Client], **body: Any) -> list[int]:
    """What each is answered; 0 where its connection was broken off."""
    found = []
    for client in clients:
        try:
            found.append(client.post("/log_prob", json=BODY | body).status_code)
        except httpx.TransportError:
            found.append(0)
    return found


def test_connections_are_divided_and_whoever_is_asked_has_the_metrics_of_all(
    served: Served,
) -> None:
    clients, before = callers(served, 8), metric(served.client, "bijecta_requests_total", **ASKED)
    assert statuses(3 * clients) == 24 * [200]
    texts = [client.get("/metrics").text for client in clients]
    text = texts[0]
    assert metric_of(text, "bijecta_requests_total", **ASKED) == before + 24
    assert metric_of(text, "bijecta_request_rows_sum", endpoint="log_prob") == before + 24
    assert metric_of(text, "bijecta_connections") >= 9
    assert metric_of(text, "bijecta_queue_capacity_rows", model="tiny", graph="encode") == 4096
    same = ("bijecta_connections ", "bijecta_queue_capacity", "bijecta_request_rows")
    found = [[line for line in one.splitlines() if line.startswith(same)] for one in texts]
    assert all(one == found[0] for one in found)
    assert min(len(connections(one)) for one in served.workers) >= 3
    runs = served.client.get("/v2/models/tiny/stats").json()["model_stats"][0]
    rows = metric(served.client, "bijecta_batch_rows_sum", model="tiny", graph="encode")
    assert runs["inference_count"] == rows


def connections(process: int) -> list[str]:
    """The connections of a process, as the kernel has them."""
    files = [str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir()]
    inodes = {file[8:-1] for file in files if file.startswith("socket:")}
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [fields[9] for fields in lines if fields[3] == "01" and fields[9] in inodes]


def test_a_change_that_has_been_answered_is_one_of_all_workers(served: Served) -> None:
    clients = callers(served, 8)
    path = "/v2/repository/models/tiny"
    for _ in range(3):
        assert served.client.post(f"{path}/unload").status_code == 200
        assert statuses(clients) == 8 * [503]
        assert served.client.post(f"{path}/load").status_code == 200
        assert statuses(clients) == 8 * [200]
    unknown = served.client.post("/v2/repository/models/nobody/unload")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:bijecta:unknown-model")


def test_a_new_version_comes_to_all_workers(served: Served, folder: Path) -> None:
    clients = callers(served, 8)
    shutil.move(write_tiny_bundle(folder / ".made", "tiny", 2), folder / "tiny" / "2")

    def versions() -> set[int]:
        return {client.post("/log_prob", json=BODY).json()["version"] for client in clients}

    wait_until(lambda: versions() == {2})


def test_a_killed_worker_takes_its_connections_along_and_nothing_else(served: Served) -> None:
    unloaded = served.client.post("/v2/repository/models/other/unload")
    assert unloaded.status_code == 200
    clients = callers(served, 8)
    before = metric(served.client, "bijecta_requests_total", **ASKED)
    answers, stop = [0, 0], threading.Event()

    def call(client: httpx.Client) -> None:
        while not stop.is_set():
            (status,) = statuses([client])
            answers[status == 200] += 1

    threads = [threading.Thread(target=call, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    wait_until(lambda: answers[True] > 50)
    killed, other = served.workers
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: answers[False] > 0)
    # who connects now, or asked the other one, does not notice
    assert statuses(callers(served, 8)) == 8 * [200]
    assert served.client.get("/health/ready").status_code == 200
    wait_until(lambda: ready_workers(served) == 2, pause=0.1)
    stop.set()
    for thread in threads:
        thread.join()
    counted = metric(served.client, "bijecta_requests_total", **ASKED) - before
    assert 0 <= answers[True] + 8 - counted <= 1  # whose answer was its last act
    assert answers[False] <= len(clients)
    assert metric(served.client, "bijecta_worker_restarts_total") == 1
    assert any("worker" in line and "killed by signal 9" in line for line in served.log)
    # the one that took its place knows what callers have changed
    assert other in served.workers
    assert statuses(callers(served, 8), model="other") == 8 * [503]


def test_sigterm_ends_all_and_loses_nothing(served: Served) -> None:
    clients, found = callers(served, 8), list[int]()

    def call(client: httpx.Client) -> None:
        while True:
            try:
                answer = client.post("/log_prob", json=BODY)
            except httpx.TransportError:
                found.append(0)
                return
            found.append(answer.status_code)
            if answer.headers.get("connection") == "close":
                return

    threads = [threading.Thread(target=call, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(found) > 50)
    processes = served.workers
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(timeout=60) == 0
    for thread in threads:
        thread.join()
    assert set(found) == {200}
    assert not any(Path(f"/proc/{process}").exists() for process in processes)
