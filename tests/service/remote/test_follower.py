"""A server of a store elsewhere: it answers whatever becomes of the store."""

import asyncio
import json
import logging
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from service.bundle import MANIFEST, Names, sha256, write_names
from service.metrics import Metrics
from service.remote import Follower, follower, parse
from service.server import Server
from service.settings import Settings
from tests.helpers.stores import NAME, add_version, edit, run_within
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import until


def figure(server: Server, name: str, **labels: str) -> float:
    value = server.metrics.registry.get_sample_value(name, labels)
    assert value is not None
    return value


async def ask(server: Server, name: str = NAME) -> int:
    """The version that answers."""
    with await server.store.get(name, None) as model:
        rows = np.zeros((1, 2), np.float32)
        answer = await model.engine.encode(rows, None, ("log_prob",), time.monotonic() + 30)
        assert answer["log_prob"].shape == (1,)
        return int(model.manifest.version)


@pytest.fixture
def far(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "far", NAME)
    return tmp_path / "far"


def settings(far: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {"cache": far.parent / "cache", "poll_seconds": 0.1, "device": "cpu"}
    return Settings(store=f"file://{far}", **(given | more))


def following(server: Server) -> Follower:
    assert server.follower is not None
    return server.follower


def change_graph(version: Path, file: str) -> None:
    """Give a version a graph of its own, which computes the same."""
    graph = onnx.load(version / file)
    graph.doc_string = str(version)
    onnx.save(graph, version / file)
    files = json.loads((version / MANIFEST).read_text())["files"]
    edit(version, files=files | {file: sha256(version / file)})


@asynccontextmanager
async def running(far: Path, **more: Any) -> AsyncIterator[Server]:
    server = Server(settings(far, **more))
    async with server.running():
        yield server


def test_new_versions_are_taken_up_under_load_and_a_store_that_goes_takes_nothing_away(
    far: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def work() -> None:
        async with running(far) as server:
            await until(lambda: server.ready)
            answered: list[int] = []
            is_over = False

            async def ask_on() -> None:
                while not is_over:
                    answered.append(await ask(server))
                    await asyncio.sleep(0.005)

            asking = asyncio.create_task(ask_on())
            made = write_tiny_bundle(far.parent / "made", NAME, 2)
            change_graph(made, "encode.onnx")  # which the cache would have by its sum
            graph = (made / "encode.onnx").read_bytes()
            (made / "encode.onnx").write_bytes(graph[:20])
            half = made.rename(far / NAME / "2")
            await until(lambda: figure(server, "bijecta_remote_versions", state="refused") == 1)
            assert await ask(server) == 1
            whole = far.parent / "encode.onnx"
            whole.write_bytes(graph)
            whole.rename(half / "encode.onnx")  # no look sees it half written
            await until(lambda: answered[-1] == 2)
            write_names(far / NAME, Names(withdrawn=frozenset({2})))  # a rollback
            await until(lambda: answered[-1] == 1)
            far.rename(far.parent / "gone")
            await until(lambda: figure(server, "bijecta_remote_store_readable") == 0)
            assert await ask(server) == 1
            (far.parent / "gone").rename(far)
            (far / NAME / "names.json").unlink()
            await until(lambda: answered[-1] == 2)
            assert figure(server, "bijecta_remote_store_readable") == 1
            is_over = True
            await asking
            started = time.monotonic()
        assert time.monotonic() - started < 5

    run_within(work)
    said = [record.getMessage() for record in caplog.records]
    assert sum(f"did not take {NAME}/2" in line for line in said) == 1
    assert sum("what was taken stays" in line for line in said) == 1
    assert sum("can be read again" in line for line in said) == 1


def test_a_store_that_is_not_there_ends_the_start_unless_the_cache_has_it(far: Path) -> None:
    async def work() -> None:
        async with running(far, poll_seconds=0) as server:
            await until(lambda: server.ready)
        far.rename(far.parent / "gone")
        async with running(far) as server:
            await until(lambda: server.ready)
            assert await ask(server) == 1
            assert following(server).failure
        shutil.rmtree(far.parent / "cache")
        async with running(far) as server:
            await until(lambda: server.polling.failure)
            assert "there is no store at this address" in str(server.polling.failure)

    run_within(work)


def test_without_polling_the_store_is_looked_at_once(far: Path) -> None:
    async def work() -> None:
        async with running(far, poll_seconds=0) as server:
            await until(lambda: server.ready)
            await until(lambda: following(server)._process is None)  # it has ended
            add_version(far, 2)
            await server.group.load(NAME)  # as a caller may, under model control
            assert await ask(server) == 2

    run_within(work)


def test_a_server_whose_process_cannot_be_started_says_so(
    far: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(far.parent / "none"))

    async def work() -> None:
        async with running(far) as server:
            await until(lambda: following(server).failure)
            assert "cannot be started: No such file" in following(server).failure
            assert not server.ready

    run_within(work)


def test_a_cache_of_ones_own_outlasts_the_server_and_a_temporary_one_does_not(
    far: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(far.parent / "tmp"))
    (far.parent / "tmp").mkdir()
    (far.parent / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(far.parent / "file"))

    async def work() -> None:
        for cache in (far.parent / "tmp", None):
            async with running(far, cache=cache, poll_seconds=0) as server:
                await until(lambda: server.ready)
            assert following(server).folder.exists() == (cache is not None)

    run_within(work)


def program(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exec sleep 100", "does not answer"),
        ("exit 3", "ended with code 3"),
        ('echo \'{"event": "took"}\'; exec sleep 100', "writes nonsense: KeyError"),
        ("echo '{'; exec sleep 100", "writes nonsense: JSONDecodeError"),
        ("yes | head -c 200000 | tr -d '\\n'; exec sleep 100", "writes nonsense"),
    ],
)
def test_a_process_that_hangs_or_ends_is_said_and_another_is_started(
    far: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    monkeypatch.setattr(follower, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sys, "executable", program(far.parent, text))

    async def work() -> None:
        address = parse(f"file://{far}")
        assert address is not None
        one = Follower(address, f"file://{far}", far.parent / "cache", 1.0, Metrics())
        keeping = asyncio.create_task(one.keep())
        await one.begin()
        assert expected in one.failure
        monkeypatch.undo()
        monkeypatch.setattr(follower, "FIRST_PAUSE", 0.01)
        await until(lambda: not one.is_empty)
        await until(lambda: not one.failure)
        keeping.cancel()
        await asyncio.wait({keeping})

    run_within(work)


def test_two_servers_share_a_cache_and_the_second_takes_over(far: Path) -> None:
    async def work() -> None:
        async with running(far) as second:
            async with running(far) as first:
                await until(lambda: first.ready and second.ready)
                processes = [following(each)._process for each in (first, second)]
                assert sum(process is not None for process in processes) == 1
            add_version(far, 2)
            while await ask(second) != 2:
                await asyncio.sleep(0.02)

    run_within(work)


def test_the_process_ends_with_the_server_that_started_it(far: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "service.remote"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    (far.parent / "cache").mkdir()
    text = f'{{"address": "file://{far}", "cache": "{far.parent}/cache", "every": 100}}\n'
    process.stdin.write(text)
    process.stdin.flush()
    while "looked" not in process.stdout.readline():
        pass
    assert (far.parent / "cache" / "store" / NAME / "1" / MANIFEST).exists()
    process.stdin.close()
    assert process.wait(timeout=10) == 0
