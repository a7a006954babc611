"""A model lives as long as somebody holds a lease of it, and not a moment longer."""

import asyncio
import gc
import json
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from starlette.types import ASGIApp

from service.errors import OutOfOrderError, UnavailableError
from service.http.app import create_app
from service.runtime import Cancellation
from service.server import Server
from service.settings import Settings
from service.store import Lease, Loader, Model
from service.store.lease import LeaseCount
from tests.helpers.exchange import Exchange, until
from tests.helpers.http import NPY
from tests.helpers.stores import edit
from tests.helpers.tiny import ROW, write_tiny_bundle

NAME = "tiny"
X = np.array([ROW], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path, NAME)
    return tmp_path


@dataclass
class Running:
    """A server in this process."""

    server: Server
    app: ASGIApp
    folder: Path

    @property
    def model(self) -> Model:
        (model,) = self.server.store.models
        return model

    async def replace(self) -> None:
        """Put other files in the model's place, and have them loaded."""
        edit(self.folder / NAME / "1", made_with={"by": "somebody else"})
        await self.server.store.refresh()


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Running]:
    server = Server(Settings(store=folder, device="cpu", model_control=True, **options))
    app = create_app(server)
    async with server.running():
        await until(lambda: server.ready)
        yield Running(server, app, folder)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(limited())


def threads() -> int:
    return sum(thread.name.startswith(f"{NAME}-") for thread in threading.enumerate())


def sessions() -> int:
    return sum(type(each) is onnxruntime.InferenceSession for each in gc.get_objects())


async def log_prob(model: Model) -> float:
    answer = await model.engine.encode(X, None, ("log_prob",), math.inf)
    return float(answer["log_prob"][0])


def test_the_last_release_closes_once_and_for_good() -> None:
    closed: list[int] = []
    leases = LeaseCount(lambda: closed.append(1))
    leases.acquire()
    leases.acquire()
    leases.release()
    assert closed == []
    leases.release()
    assert closed == [1]
    with pytest.raises(UnavailableError, match="unloaded"):
        leases.acquire()
    assert closed == [1]


@pytest.mark.parametrize("how", ["replaced", "unloaded", "gone", "closed"])
def test_a_model_answers_its_holder_whatever_the_store_does(folder: Path, how: str) -> None:
    async def work() -> None:
        async with running(folder) as one:
            before, (old, store) = threads(), (one.model, one.server.store)
            assert before > 0
            with await store.get(NAME, None) as held:
                assert held is old
                match how:
                    case "replaced":
                        await one.replace()
                        assert one.model is not old
                    case "unloaded":
                        await store.unload(NAME)
                    case "gone":
                        (folder / NAME).rename(folder / ".away")
                        await store.refresh()
                        await store.refresh()
                    case "closed":
                        store.close()
                assert await log_prob(held) == sum(ROW)
                assert threads() == before * (2 if how == "replaced" else 1)
            with pytest.raises(UnavailableError):
                Lease(old)
            with pytest.raises(OutOfOrderError, match="unloaded"):
                await log_prob(old)
            await until(lambda: threads() == before * (how == "replaced"))

    run(work)


def test_a_sample_goes_on_with_the_model_that_was_replaced(folder: Path) -> None:
    """And its threads end once it has been sent."""

    async def work() -> None:
        async with running(folder, batch_rows=64) as one:
            old, before, rows = one.model, threads(), 3 * 4096
            sample = Exchange("POST", f"/sample?n={rows}&seed=1", headers={"accept": NPY})
            sample.taken.clear()
            task = asyncio.ensure_future(sample.run(one.app))
            await until(lambda: len(sample.sent) > 1)
            await one.replace()
            assert one.model is not old
            assert old.leases.held == 1
            assert threads() == 2 * before
            sample.taken.set()
            await task
            assert len(sample.content) == 128 + 4 * 2 * rows
            assert old.leases.held == 0
            await until(lambda: threads() == before)

    run(work)


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def infer(**change: Any) -> bytes:
    source = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": ROW}
    return body(inputs=[source | change])


V2 = f"/v2/models/{NAME}"
EXCHANGES = {
    "answer": (Exchange("POST", "/log_prob", body(x=[ROW])), 200),
    "wrong shape": (Exchange("POST", "/log_prob", body(x=[[1.0]])), 422),
    "no such output": (Exchange("POST", "/encode?output=q", body(x=[ROW])), 422),
    "no such format": (Exchange("POST", "/log_prob", body(x=[ROW]), {"accept": "a/b"}), 406),
    "no finite answer": (Exchange("POST", "/log_prob", body(x=[[3e38, 3e38]])), 422),
    "too late": (
        Exchange("POST", "/sample", body(n=60_000), {"x-request-timeout": "0.0001"}),
        504,
    ),
    "sample": (Exchange("POST", "/sample?n=9000", headers={"accept": NPY}), 200),
    "sample that fails": (
        Exchange("POST", "/sample?n=9&quantize=true", headers={"accept": NPY}),
        422,
    ),
    "infer": (Exchange("POST", f"{V2}/infer", infer()), 200),
    "infer fails": (Exchange("POST", f"{V2}/infer", infer(name="q")), 400),
    "no such version": (Exchange("POST", f"{V2}/versions/9/infer", infer()), 404),
    "manifest": (Exchange("GET", f"/models/{NAME}"), 200),
    "metadata": (Exchange("GET", V2), 200),
    "configuration": (Exchange("GET", f"{V2}/config"), 200),
    "ready": (Exchange("GET", f"{V2}/ready"), 200),
    "statistics": (Exchange("GET", f"{V2}/stats"), 200),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_request_gives_its_lease_back(folder: Path, name: str) -> None:
    exchange, status = EXCHANGES[name]

    async def work() -> None:
        async with running(folder) as one:
            await exchange.run(one.app)
            assert exchange.status == status, exchange.content
            assert one.model.leases.held == 1  # the store's own

    run(work)


@pytest.mark.parametrize("target", ["/sample?n=9000000", "/log_prob"])
@pytest.mark.parametrize("how", ["leaves", "is cancelled"])
def test_a_caller_that_departs_gives_its_lease_back(
    folder: Path, target: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with running(folder) as one:
            begun, end = threading.Event(), threading.Event()
            graph = one.model.engine._graphs["encode"]
            compute = type(graph).__call__

            def slow(self: Any, *arguments: Any) -> Any:
                begun.set()
                if self is graph:
                    assert end.wait(20)
                return compute(self, *arguments)

            monkeypatch.setattr(type(graph), "__call__", slow)
            content = body(x=[ROW]) if target == "/log_prob" else b""
            exchange = Exchange("POST", target, content, {"accept": NPY})
            task = asyncio.ensure_future(exchange.run(one.app))
            await until(begun.is_set)
            if target != "/log_prob":
                await until(lambda: len(exchange.sent) > 2)
            assert one.model.leases.held == 2
            if how == "leaves":
                exchange.leave()
            else:
                task.cancel()
            await asyncio.wait([task])
            assert one.model.leases.held == 1
            end.set()

    run(work)


def test_a_load_that_is_cancelled_leaves_no_threads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end, load = threading.Event(), threading.Event(), Loader.load

    def slow(self: Loader, path: Path, cancellation: Cancellation) -> Model:
        begun.set()
        assert end.wait(20)
        return load(self, path, cancellation)

    async def work() -> None:
        async with running(folder) as one:
            store, before = one.server.store, threads()
            await store.unload(NAME)
            await until(lambda: threads() == 0)
            monkeypatch.setattr(Loader, "load", slow)
            task = asyncio.ensure_future(store.load(NAME))
            await until(begun.is_set)
            task.cancel()
            await asyncio.wait([task])
            end.set()
            monkeypatch.setattr(Loader, "load", load)
            await store.load(NAME)
            await until(lambda: threads() == before)

    run(work)


def test_a_server_that_ends_during_a_load_closes_what_it_loads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end, load = threading.Event(), threading.Event(), Loader.load

    def slow(self: Loader, path: Path, cancellation: Cancellation) -> Model:
        begun.set()
        assert end.wait(20)
        return load(self, path, cancellation)

    async def work() -> None:
        async with running(folder) as one:
            monkeypatch.setattr(Loader, "load", slow)
            edit(folder / NAME / "1", made_with={"by": "somebody else"})
            task = asyncio.ensure_future(one.server.store.refresh())
            await until(begun.is_set)
            task.cancel()
            await asyncio.wait([task])
        threading.Timer(0.3, end.set).start()  # the event loop is ending by then

    run(work)
    for name in ("store-load", f"{NAME}-"):  # the first starts the second
        for thread in threading.enumerate():
            if thread.name.startswith(name):
                thread.join(20)
    assert threads() == 0


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
