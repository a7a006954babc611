"""What telemetry knows of a call."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest

from service.grpc.call import INFER
from service.grpc.calls import Calls
from service.grpc.infer import InferCalls
from service.grpc.slow_callers import SlowCallers
from service.security import ASKING
from service.telemetry import RequestRecord
from tests.helpers.grpc_calls import infer_request
from tests.helpers.running import run, running


class OneCall:
    """The context of a call with one message."""

    def __init__(self, message: bytes) -> None:
        self._message = message
        self._callbacks: list[Callable[[Any], None]] = []

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-request-id", "r-1"),)

    def time_remaining(self) -> None:
        return None

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    async def read(self) -> bytes:
        return self._message

    async def write(self, _: bytes) -> None:
        """What grpc.aio does of a call whose caller has just reset it."""
        raise grpc.aio.InternalError("Failed grpc_call_start_batch: 8")

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def test_a_call_has_bytes_rows_and_stages_as_a_request_of_http(grpc_store: Path) -> None:
    records: list[RequestRecord] = []
    message = infer_request("maf", ("x", np.ones((3, 3), "f4"))).SerializeToString()

    async def work() -> None:
        async with running(grpc_store) as served:
            served.server.telemetry.ended = records.append  # type: ignore[assignment, method-assign]
            slow = SlowCallers(1, 60, 60, 1, 2**20, lambda _: None)
            calls = Calls(served.server, slow, 10)
            answer = calls.unary(INFER, "ModelInfer", InferCalls(served.server, slow).infer, ASKING)
            context = OneCall(message)
            content = await answer.stream_unary(None, context)
            context.end()
            (record,) = records
            assert (record.id, record.endpoint, record.model) == ("r-1", INFER, "maf")
            assert (record.status, record.rows) == (200, 3)
            assert (record.bytes_in, record.bytes_out) == (len(message), len(content))
            assert min(record.seconds) > 0
            assert (calls.count, served.server.metrics.in_flight) == (0, 0)

    run(work)


def test_who_leaves_while_a_piece_is_sent_is_no_error_of_the_server(grpc_store: Path) -> None:
    records: list[RequestRecord] = []
    message = infer_request("maf", ("x", np.ones((3, 3), "f4"))).SerializeToString()

    async def work() -> None:
        async with running(grpc_store) as served:
            served.server.telemetry.ended = records.append  # type: ignore[assignment, method-assign]
            infer = InferCalls(served.server, SlowCallers(1, 60, 60, 1, 2**20, lambda _: None))
            with pytest.raises(asyncio.CancelledError):
                await infer.answer_in_stream(OneCall(message), message)

    run(work)
    assert [(record.status, record.reason) for record in records] == [(200, "cancelled")]
