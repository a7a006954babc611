"""A model lives as long as somebody holds a lease of it, and not a moment longer."""

import asyncio
import json
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.errors import OutOfOrderError, UnavailableError
from service.store import Lease, Model
from service.store.lease import LeaseCount
from tests.helpers.exchange import Exchange
from tests.helpers.http import NPY
from tests.helpers.running import NAME, run, running, threads
from tests.helpers.tiny import ROW, write_tiny_bundle
from tests.helpers.waiting import until

X = np.array([ROW], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path, NAME)
    return tmp_path


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
