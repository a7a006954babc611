"""The calls of one server over gRPC: how many there may be, and how each is answered or fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc

from service.errors import OverloadedError, TooLargeError, UnavailableError
from service.grpc.admission import authorization
from service.grpc.call import INFER, MAX_OTHER_BYTES, OTHER, STREAM, Call
from service.grpc.slow_callers import Context, NotTakenError, SlowCallers
from service.grpc.statuses import Failure
from service.security import ASKING, Scope
from service.server import Server

Answer = Callable[[Call, bytes], Awaitable[bytes]]


class Calls:
    """The calls in progress of one server.

    Args:
        server: whose models are asked.
        slow: who keeps an eye on callers.
        most: calls at a time.
    """

    def __init__(self, server: Server, slow: SlowCallers, most: int) -> None:
        self._server = server
        self._slow = slow
        self._most = most
        self._is_stopping = False
        self._last = 0.0
        self.count = 0
        """How many have been let in and not ended."""
        for label in (INFER, STREAM, OTHER):
            server.metrics.requests.add_endpoint(label)

    def unary(
        self, label: str, method: str, answer: Answer, scopes: tuple[Scope, ...]
    ) -> grpc.RpcMethodHandler:
        """A method with one message and one answer.

        For gRPC here it has a stream of messages, so that its one message is read by `SlowCallers`
        and not before anybody is asked; on the wire there is no difference.

        Args:
            label: of its metrics.
            method: its name.
            answer: makes the answer.
            scopes: what a caller's key is to be for: one of these.
        """

        async def handle(_: object, context: Context) -> bytes:
            call = Call(self._server, context, label, method)
            context.add_done_callback(call.end)
            try:
                self._enter(context)
                call.admit(context, scopes)
                message = await self._slow.message(context)
                if label == OTHER and len(message) > MAX_OTHER_BYTES:
                    raise TooLargeError(f"this message may have {MAX_OTHER_BYTES} bytes")
                content = await answer(call, await call.content(message))
                call.record.bytes_out = len(content)
                self._slow.hold_answer(context, len(content))
                return content
            except Exception as error:
                return fail(context, call.failed(error))

        return grpc.stream_unary_rpc_method_handler(handle)

    def stream(self, answer: Callable[[Context, bytes], Awaitable[None]]) -> grpc.RpcMethodHandler:
        """A method with any number of messages, answered in turn.

        Args:
            answer: answers one of them; raises what ends the stream.
        """

        async def handle(_: object, context: Context) -> None:
            is_open = False
            try:
                self._enter(context)
                if self._server.keyring is not None:  # each message is admitted by itself
                    self._server.keyring.find(authorization(context)).check_scope(ASKING)
                self._slow.open_stream()
                is_open = True
                message: bytes | None = await self._slow.message(context)
                while message is not None:
                    await answer(context, message)
                    message = await self._slow.next_message(context)
            except NotTakenError:
                # which has been counted; core takes no status while it has a piece to send
                raise asyncio.CancelledError from None
            except Exception as error:
                call = Call(self._server, context, STREAM, "ModelStreamInfer")
                fail(context, call.failed(error))
                call.end()
            finally:
                if is_open:
                    self._slow.close_stream()

        return grpc.stream_stream_rpc_method_handler(handle)

    def stop(self) -> None:
        """Let no more calls in."""
        self._is_stopping = True
        self._last = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long nobody has asked a server that stops."""
        return time.monotonic() - self._last

    def _enter(self, context: Context) -> None:
        """Let a call in.

        Raises:
            OverloadedError: there are too many.
            UnavailableError: the server stops.
        """
        if self._is_stopping:
            self._last = time.monotonic()
            raise UnavailableError("the server stops: ask another one")
        if self.count >= self._most:
            raise OverloadedError(f"{self.count} calls are in progress, as many as may be", 1)
        self.count += 1
        context.add_done_callback(self._leave)

    def _leave(self, _: Context) -> None:
        self.count -= 1


def fail(context: Context, failed: Failure) -> bytes:
    """Have a call end with an error; `context.abort` would leave a reference cycle behind."""
    context.set_code(failed.code)
    context.set_details(failed.detail)
    context.set_trailing_metadata(failed.metadata)
    return b""
