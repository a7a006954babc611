"""Loads that do not end, that fail for a while, and stores that go: the rest is served."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.errors import ModelRefusedError, UnavailableError
from service.runtime import Cancellation
from service.store import Entry, Loader, Model, Store, loads
from tests.helpers.bad_bundles import write_endless_bundle
from tests.helpers.servers import Serve
from tests.helpers.stores import Opened, names, run_within
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import until


def entry_of(store: Store, name: str, version: int = 1) -> Entry:
    return store.entries[name][version]


def outcomes(store: Store, outcome: str) -> float:
    registry = store._looks._metrics.registry
    value = registry.get_sample_value("bijecta_loads_total", {"outcome": outcome})
    assert value is not None
    return value


def load_threads() -> int:
    return sum(thread.name == "store-load" for thread in threading.enumerate())


def test_a_graph_without_end_is_given_up_and_holds_up_nobody(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loads, "PATIENCE", 0.05)
    write_endless_bundle(tmp_path, "endless")
    write_tiny_bundle(tmp_path, "tiny")

    async def work() -> None:
        store = opened(load_seconds=0.5)
        await store.refresh()
        assert names(store) == {"tiny"}
        with pytest.raises(UnavailableError, match="endless/1 is still being loaded"):
            await store.get("endless", None)
        await until(lambda: entry_of(store, "endless").refused != "")
        with pytest.raises(ModelRefusedError, match=r"endless/1 was not loaded in 0\.5 seconds"):
            await store.get("endless", None)
        await until(lambda: load_threads() == 0)  # its run was ended
        await store.refresh()
        assert outcomes(store, "given up") == 1  # until its files change
        shutil.rmtree(tmp_path / "endless")
        write_tiny_bundle(tmp_path, "endless")
        await store.refresh()
        assert names(store) == {"tiny", "endless"}

    run_within(work)


def test_a_server_is_ready_beside_a_load_without_end_and_its_exit_is_not_held(
    tmp_path: Path, serve: Serve
) -> None:
    write_endless_bundle(tmp_path, "endless")
    write_tiny_bundle(tmp_path, "tiny")
    manifest = tmp_path / "fifo" / "1" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    os.mkfifo(manifest)
    served = serve("--store", tmp_path, "--load-seconds", "1")
    answer = served.client.post("/log_prob", json={"model": "tiny", "x": [[1.0, 2.0]]})
    assert answer.json()["log_prob"] == [3.0]
    reasons = {m["name"]: m["reason"] for m in served.client.get("/models").json()["refused"]}
    assert reasons["fifo"] == "fifo/1/manifest.json is not a regular file"
    assert "was not loaded in 1 seconds" in reasons["endless"]
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0


SERVE = """if True:
    import sys

    from service.cli import main
    from service.runtime import Cancellation
    from service.store import load

    load.END_SECONDS = 0.2
    if sys.argv[1] == "deaf":
        Cancellation.cancel = lambda self: None
    sys.exit(main(["serve", "--port", "0", "--store", sys.argv[2]]))
"""


@pytest.mark.parametrize("kind", ["heeds", "deaf"])
def test_a_server_that_only_loads_ends_with_0_when_it_is_told_to(tmp_path: Path, kind: str) -> None:
    """Even where the load does not end: onnxruntime would abort the process."""
    write_endless_bundle(tmp_path, "endless")
    command = [sys.executable, "-c", SERVE, kind, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "running on" in line:
                break
        time.sleep(0.5)  # in the midst of the load
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_request_does_not_wait_for_a_newer_version(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_bundle(tmp_path, "tiny")
    begun, end, load = threading.Event(), threading.Event(), Loader.load

    def slow(
        self: Loader, path: Path, cancellation: Cancellation, identity: tuple[str, int]
    ) -> Model:
        begun.set()
        assert end.wait(20)
        return load(self, path, cancellation, identity)

    async def work() -> None:
        store = opened()
        await store.refresh()
        monkeypatch.setattr(Loader, "load", slow)
        write_tiny_bundle(tmp_path, "tiny", version=2)
        task = asyncio.ensure_future(store.refresh())
        await until(begun.is_set)
        with await store.get("tiny", None) as model:
            assert model.manifest.version == 1
        with pytest.raises(UnavailableError, match="tiny/2 is still being loaded") as found:
            await store.get("tiny", 2)
        assert "Retry-After" in found.value.headers
        end.set()
        await task
        with await store.get("tiny", None) as model:
            assert model.manifest.version == 2

    run_within(work)


PASSING: dict[str, Exception] = {
    "rights": PermissionError(13, "Permission denied", "/somewhere/tiny"),
    "disk": OSError(5, "Input/output error", "/somewhere/tiny"),
    "memory": MemoryError(),
    "memory of onnxruntime": RuntimeError("Failed to allocate memory for requested buffer"),
    "threads": RuntimeError("can't start new thread"),
}


@pytest.mark.parametrize("kind", PASSING)
def test_a_reason_that_may_pass_is_tried_again_with_growing_pauses(
    tmp_path: Path,
    opened: Opened,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_tiny_bundle(tmp_path, "tiny")
    load = Loader.load
    tries: list[float] = []

    def failing(
        self: Loader, path: Path, cancellation: Cancellation, identity: tuple[str, int]
    ) -> Model:
        tries.append(1)
        raise PASSING[kind]

    monkeypatch.setattr(Loader, "load", failing)

    async def work() -> None:
        store = opened()
        await store.refresh()
        entry, pauses = entry_of(store, "tiny"), []
        for _ in range(9):
            pauses.append(entry.pause)
            await store.retry()  # not before its time
            assert len(tries) == len(pauses)
            entry.next_try = 0.0
            await store.retry()
        assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
        assert "/somewhere" not in entry.refused
        assert len(caplog.records) <= 2  # said once, whatever the number of tries
        monkeypatch.setattr(Loader, "load", load)
        (tmp_path / "tiny" / "1" / "manifest.json").chmod(0o600)  # at once, as its files changed
        await store.refresh()
        assert names(store) == {"tiny"}
        assert (entry.refused, entry.pause) == ("", 0.0)

    run_within(work)


def test_a_lasting_reason_waits_for_other_files(tmp_path: Path, opened: Opened) -> None:
    path = write_tiny_bundle(tmp_path, "tiny")
    (path / "encode.onnx").write_bytes(b"no graph")

    async def work() -> None:
        store = opened()
        for _ in range(3):
            await store.refresh()
            await store.retry()
        assert outcomes(store, "refused") == 1
        assert entry_of(store, "tiny").next_try == float("inf")

    run_within(work)


def test_versions_without_end_are_one_kind_of_line(
    tmp_path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    count = loads.LOADS_TOLD + 4

    async def work() -> None:
        for version in range(1, count + 1):
            write_tiny_bundle(tmp_path, "tiny", version)
        write_tiny_bundle(tmp_path, "other")
        await opened().refresh()

    with caplog.at_level("INFO"):
        run_within(work)
    kinds = [vars(record)["kind"] for record in caplog.records if record.msg.startswith("loaded")]
    assert len(kinds) == count + 1
    assert len({kind for kind in kinds if kind[1] == "tiny"}) == loads.LOADS_TOLD
    assert ("loaded", "other", 1) in kinds
