"""Callers who send slowly, or take nothing: others are answered, and memory stays bounded."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from grpc import StatusCode

from service.errors import MemoryFullError
from service.grpc import slow_callers
from service.grpc.protos import messages
from tests.helpers.grpc_calls import Http2Caller, RawCaller, count, grpc_port, infer_request
from tests.helpers.http import metric
from tests.helpers.servers import Serve, Served
from tests.helpers.waiting import wait_until

X = np.array([[0.5, -0.5, 0.25]], np.float32)
QUESTION = infer_request("maf", ("x", X)).SerializeToString()

Opened = Callable[[], Http2Caller]


@pytest.fixture(scope="module")
def impatient(grpc_store: Path, serve: Serve) -> Served:
    """A server of two slow messages and two streams at a time."""
    options = (
        "--grpc-port 0 --max-body-mib 1 --max-inflight-mib 2 --idle-seconds 2 --write-seconds 1 "
        "--max-grpc-streams 2 --max-sample-rows 1000000"
    )
    return serve("--store", grpc_store, *options.split())


@pytest.fixture
def opened(impatient: Served) -> Iterator[Opened]:
    with ExitStack() as stack:

        def open_one() -> Http2Caller:
            caller = Http2Caller(grpc_port(impatient))
            stack.callback(caller.close)
            return caller

        yield open_one


def test_slow_messages_are_few_and_have_an_end(
    impatient: Served, opened: Opened, raw_to: Callable[[Served], RawCaller]
) -> None:
    callers = [opened() for _ in range(3)]
    streams = []
    for caller in callers:
        streams.append(caller.begin("ModelInfer"))
        caller.send(streams[-1], QUESTION[:9], announced=2**20)
        time.sleep(0.05)
    assert raw_to(impatient)("ModelInfer", QUESTION)
    # the oldest gives way at once, the others have their time
    first = callers[0].trailers(streams[0])
    assert first["grpc-status"] == str(StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert first["bijecta-reason"] == "memory-full"
    for caller, stream in zip(callers[1:], streams[1:], strict=True):
        last = caller.trailers(stream)
        assert last["grpc-status"] == str(StatusCode.DEADLINE_EXCEEDED.value[0])
        assert last["bijecta-reason"] == "too-slow"
    wait_until(lambda: metric(impatient.client, "bijecta_inflight_requests") == 1)  # this one


def asked_in_stream(caller: Http2Caller, message: bytes) -> int:
    stream = caller.begin("ModelStreamInfer")
    caller.send(stream, message)
    return stream


@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
def test_who_takes_nothing_is_broken_off(
    impatient: Served, opened: Opened, method: str, raw_to: Callable[[Served], RawCaller]
) -> None:
    def closed() -> float:
        return metric(impatient.client, "bijecta_request_failures_total", reason="too-slow")

    before = closed()
    caller = opened()
    n = 500_000 if method == "ModelStreamInfer" else 40_000
    sample = infer_request("maf.sample", count(n)).SerializeToString()
    caller.send(caller.begin(method), sample)
    started = time.monotonic()
    caller.wait_for_end()
    assert time.monotonic() - started < 20
    wait_until(lambda: metric(impatient.client, "bijecta_inflight_bytes") == 0)
    wait_until(lambda: metric(impatient.client, "bijecta_inflight_requests") == 1)
    if method == "ModelStreamInfer":
        assert closed() == before + 1
    assert raw_to(impatient)("ModelInfer", QUESTION)


def test_a_silent_stream_gives_way_to_a_new_one(
    impatient: Served, opened: Opened, raw_to: Callable[[Served], RawCaller]
) -> None:
    callers, streams = [opened() for _ in range(2)], []
    for each in callers:
        streams.append(asked_in_stream(each, QUESTION))
        each.wait_for_answer()
    caller = raw_to(impatient)
    time.sleep(1.2)
    (answer,) = caller.stream(QUESTION)
    assert not answer.error_message
    ended = callers[0].trailers(streams[0])
    assert ended["grpc-status"] == str(StatusCode.UNAVAILABLE.value[0])
    (answer,) = caller.stream(QUESTION)  # the place of the stream that has ended
    assert not answer.error_message
    callers[1].send(streams[1], QUESTION)  # which goes on


def test_streams_that_are_busy_do_not_give_way(
    impatient: Served, opened: Opened, raw_to: Callable[[Served], RawCaller]
) -> None:
    def late(pause: float) -> dict[str, str]:
        """How a stream ends that begins so many seconds after two others."""
        for _ in range(2):
            opened().begin("ModelStreamInfer")
        time.sleep(pause)
        caller = opened()
        return caller.trailers(caller.begin("ModelStreamInfer"))

    ends = (late(pause) for pause in (0.1, 0.3, 0.9))
    refused = str(StatusCode.RESOURCE_EXHAUSTED.value[0])
    end = next(end for end in ends if end["grpc-status"] == refused)
    assert end["grpc-retry-pushback-ms"] == "1000"


def test_what_is_asked_by_who_leaves_is_dropped(
    impatient: Served, raw_to: Callable[[Served], RawCaller]
) -> None:
    def cancelled() -> float:
        name, labels = "bijecta_request_failures_total", {"endpoint": "grpc-infer"}
        text = impatient.client.get("/metrics").text
        return sum(
            float(line.split()[-1])
            for line in text.splitlines()
            if line.startswith(name) and 'reason="cancelled"' in line and labels["endpoint"] in line
        )

    def leave(seconds: float) -> bool:
        """Ask, and leave after a while; whether the server was at work, and says so."""
        before, future = cancelled(), call.future(sample)
        time.sleep(seconds)
        future.cancel()
        # one of them is the question itself
        wait_until(lambda: metric(impatient.client, "bijecta_inflight_requests") == 1)
        return cancelled() == before + 1

    call = raw_to(impatient).channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    sample = infer_request("maf.sample", count(40_000)).SerializeToString()
    assert any(leave(0.002 * i) for i in range(1, 30))
    assert metric(impatient.client, "bijecta_inflight_bytes") == 0


def test_a_deadline_in_the_request_passes(
    impatient: Served, raw_to: Callable[[Served], RawCaller]
) -> None:
    message = infer_request("maf.sample", count(40_000), timeout=1).SerializeToString()
    code, _ = raw_to(impatient).refused("ModelInfer", message)
    assert code is StatusCode.DEADLINE_EXCEEDED
    (answer,) = raw_to(impatient).stream(message)
    assert answer.infer_response.parameters["reason"].string_param == "deadline"
    assert messages.ModelStreamInferResponse.FromString(b"") != answer


class Slow:
    """A call whose message comes later."""

    def __init__(self, comes: asyncio.Event) -> None:
        self._comes = comes

    async def read(self) -> bytes:
        await self._comes.wait()
        return b"message"


@pytest.mark.parametrize("is_stalled", [True, False])
def test_callers_are_not_slow_by_what_the_server_loses(
    monkeypatch: pytest.MonkeyPatch, is_stalled: bool
) -> None:
    for name in ("TICK_SECONDS", "MOMENT_SECONDS"):
        monkeypatch.setattr(slow_callers, name, 0.1)

    async def read() -> list[bytes | BaseException]:
        slow, comes = slow_callers.SlowCallers(1, 60, 60, 1, 1, lambda _: None), asyncio.Event()
        reading = [asyncio.ensure_future(slow.message(Slow(comes))) for _ in range(3)]
        await asyncio.sleep(0)
        if is_stalled:
            time.sleep(0.4)
        else:
            await asyncio.sleep(0.4)
        asyncio.get_running_loop().call_later(0.02, comes.set)
        return await asyncio.gather(*reading, return_exceptions=True)

    results = asyncio.run(read())
    refused = [one for one in results if isinstance(one, MemoryFullError)]
    assert len(refused) == (0 if is_stalled else 2)
    assert results.count(b"message") == 3 - len(refused)
