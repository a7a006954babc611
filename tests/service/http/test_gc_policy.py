"""When Python's collector looks for cycles, and that requests leave none."""

import asyncio
import gc
import json
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.http.app import create_app
from service.http.gc_policy import (
    MAX_TIME_SHARE,
    MIN_NEW_OBJECTS,
    MIN_PAUSE_SECONDS,
    TimedCollector,
    apply_gc_policy,
)
from service.server import Server
from service.settings import Settings
from tests.helpers.exchange import Exchange
from tests.helpers.http import NPY
from tests.helpers.tiny import ROW, write_tiny_bundle
from tests.helpers.waiting import until


class Circle:
    """An object that only a collector frees."""

    def __init__(self) -> None:
        self.itself = self


def circles(count: int) -> weakref.ref[Circle]:
    made = [Circle() for _ in range(count)]
    return weakref.ref(made[0])


@pytest.fixture
def collector() -> Iterator[TimedCollector]:
    yield TimedCollector()
    gc.unfreeze()
    gc.enable()


def test_what_was_there_is_passed_over(collector: TimedCollector) -> None:
    assert gc.get_freeze_count() > 10_000
    assert not gc.isenabled()


def test_something_is_collected_and_next_to_nothing_is_not(collector: TimedCollector) -> None:
    little = circles(MIN_NEW_OBJECTS // 10)
    collector.collect()
    assert little() is not None
    more = circles(MIN_NEW_OBJECTS)
    collector.collect()
    assert little() is None
    assert more() is None


@pytest.mark.parametrize(
    ("took", "rests"), [(0.001, MIN_PAUSE_SECONDS), (0.1, 0.1 / MAX_TIME_SHARE)]
)
def test_it_takes_a_small_part_of_all_time(
    collector: TimedCollector, monkeypatch: pytest.MonkeyPatch, took: float, rests: float
) -> None:
    now = [100.0]
    monkeypatch.setattr("service.http.gc_policy.time.monotonic", lambda: now[0])
    collect = gc.collect

    def slow() -> int:
        now[0] += took
        return collect()

    monkeypatch.setattr("service.http.gc_policy.gc.collect", slow)
    circles(MIN_NEW_OBJECTS)
    collector.collect()
    again = circles(MIN_NEW_OBJECTS)
    now[0] += 0.9 * rests
    collector.collect()
    assert again() is not None
    now[0] += 0.2 * rests
    collector.collect()
    assert again() is None


def test_python_keeps_its_own_policy_where_asked() -> None:
    before = gc.get_freeze_count(), gc.get_threshold()
    apply_gc_policy("python")()
    assert gc.isenabled()
    assert (gc.get_freeze_count(), gc.get_threshold()) == before


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


INFER = body(inputs=[{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": ROW}])
# so large that they are parsed in a thread
RAGGED = body(x=[ROW] * 40_000 + [[1.0]])
WRONG_COUNT = INFER.replace(b"-2.0", b", ".join([b"-2.0"] * 60_000))
PATH = body(start=ROW, end=ROW, steps=60_000)
MAX_OFTEN_BYTES = 10_000
TIMEOUT = {"x-request-timeout": "0.00001"}
REQUESTS: dict[str, tuple[Callable[[], Exchange], int]] = {
    "answer": (lambda: Exchange("POST", "/log_prob", body(x=[ROW])), 200),
    "sample": (lambda: Exchange("POST", "/sample?n=5000", b"", {"accept": NPY}), 200),
    "path": (lambda: Exchange("POST", "/interpolate", body(start=ROW, end=ROW)), 200),
    "infer": (lambda: Exchange("POST", "/v2/models/tiny/infer", INFER), 200),
    "ragged": (lambda: Exchange("POST", "/log_prob", RAGGED), 422),
    "wrong count": (lambda: Exchange("POST", "/v2/models/tiny/infer", WRONG_COUNT), 400),
    "wrong shape": (lambda: Exchange("POST", "/log_prob", body(x=[[1.0]])), 422),
    "not JSON": (lambda: Exchange("POST", "/log_prob", b"{"), 400),
    "no such field": (lambda: Exchange("POST", "/log_prob", body(x=[ROW], y=1)), 422),
    "no such model": (lambda: Exchange("POST", "/log_prob", body(model="q", x=[ROW])), 404),
    "no such format": (
        lambda: Exchange("POST", "/log_prob", body(x=[ROW]), {"accept": "audio/wav"}),
        406,
    ),
    "no finite answer": (lambda: Exchange("POST", "/log_prob", body(x=[[3e38, 3e38]])), 422),
    "too late": (lambda: Exchange("POST", "/log_prob", body(x=[ROW]), TIMEOUT), 504),
    "sample too late": (lambda: Exchange("POST", "/sample?n=5000", b"", TIMEOUT), 504),
    "samples too late": (
        lambda: Exchange("POST", "/sample?n=50000", b"", TIMEOUT | {"accept": NPY}),
        504,
    ),
    "path too late": (lambda: Exchange("POST", "/interpolate", PATH, TIMEOUT), 504),
    "graph fails": (lambda: Exchange("POST", "/decode", body(z=[ROW])), 500),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_leaves_no_reference_cycle(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule of `service.http.gc_policy`."""
    write_tiny_bundle(tmp_path, "tiny")
    make, status = REQUESTS[name]
    monkeypatch.setattr(
        "service.engine.batch.log.exception", lambda _: None
    )  # pytest keeps records

    async def work() -> Counter[str]:
        server = Server(Settings(store=tmp_path, device="cpu"))
        app = create_app(server)
        async with server.running():
            await until(lambda: server.ready)
            if name == "graph fails":
                (model,) = server.store.models
                model.engine._graphs["decode"].close()
            times = 20 if len(make().body) < MAX_OFTEN_BYTES else 4
            for _ in range(times):  # what is made once, and kept
                exchange = await make().run(app)
                assert exchange.status == status, exchange.content
            gc.collect()
            gc.freeze()  # what is there is no garbage, and takes half a second to be looked through
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(times):
                    await make().run(app)
                await asyncio.sleep(0.02)  # threads and callbacks let go
                gc.collect()
                return Counter(type(each).__name__ for each in gc.garbage)
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.unfreeze()
                gc.enable()

    assert asyncio.run(work()) == {}
