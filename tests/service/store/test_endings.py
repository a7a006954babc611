"""Nothing of a model is left when its load is cancelled or its server ends."""

import asyncio
import gc
import threading
from pathlib import Path

import pytest

from service.runtime import Cancellation
from service.store import Loader, Model
from tests.helpers.running import NAME, run, running, sessions, threads
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path, NAME)
    return tmp_path


class SlowLoad:
    """Loads that begin, and go on only when they are told to."""

    def __init__(self) -> None:
        self.begun, self.end = threading.Event(), threading.Event()
        begun, end, load = self.begun, self.end, Loader.load

        def slow(
            self: Loader, path: Path, cancellation: Cancellation, identity: tuple[str, int]
        ) -> Model:
            begun.set()
            assert end.wait(20)
            return load(self, path, cancellation, identity)

        self.load = slow


def test_a_load_that_is_cancelled_leaves_no_threads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, slow = Loader.load, SlowLoad()

    async def work() -> None:
        async with running(folder) as one:
            store, before = one.server.store, threads()
            await store.unload(NAME)
            await until(lambda: threads() == 0)
            monkeypatch.setattr(Loader, "load", slow.load)
            task = asyncio.ensure_future(store.load(NAME))
            await until(slow.begun.is_set)
            task.cancel()
            await asyncio.wait([task])
            slow.end.set()
            monkeypatch.setattr(Loader, "load", load)
            await store.load(NAME)
            await until(lambda: threads() == before)

    run(work)


def test_a_server_that_ends_during_a_load_closes_what_it_loads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowLoad()

    async def work() -> None:
        async with running(folder) as one:
            monkeypatch.setattr(Loader, "load", slow.load)
            edit(folder / NAME / "1", made_with={"by": "somebody else"})
            task = asyncio.ensure_future(one.server.store.refresh())
            await until(slow.begun.is_set)
            task.cancel()
            await asyncio.wait([task])
        threading.Timer(0.3, slow.end.set).start()  # the event loop is ending by then

    run(work)
    for name in ("store-load", f"{NAME}-"):  # the first starts the second
        for thread in threading.enumerate():
            if thread.name.startswith(name):
                thread.join(20)
    assert threads() == 0


@pytest.mark.long
def test_a_thousand_loads_leave_neither_threads_nor_sessions(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    """Although nothing looks for garbage."""

    async def work() -> None:
        async with running(folder) as one:
            store = one.server.store
            await store.unload(NAME)
            await until(lambda: threads() == 0)
            before = sessions()
            for _ in range(1000):
                await store.load(NAME)
                await store.unload(NAME)
            await until(lambda: threads() == 0)
            assert sessions() == before

    gc.collect()
    gc.disable()
    request.addfinalizer(gc.enable)
    run(work)


def test_a_server_that_ends_closes_its_models(folder: Path) -> None:
    async def work() -> None:
        async with running(folder):
            assert threads() > 0
        await until(lambda: threads() == 0)

    run(work)
