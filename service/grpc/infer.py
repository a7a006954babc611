"""ModelInfer and ModelStreamInfer."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.grpc import wire
from service.grpc.call import MIN_KEPT_BYTES, MIN_THREAD_BYTES, STREAM, Call
from service.grpc.requests import read_request
from service.grpc.responses import infer_response, stream_error
from service.grpc.slow_callers import Context, NotTakenError, SlowCallers
from service.inflight import Reading
from service.open_inference import Inference
from service.operations import Answer, AnswerPieces
from service.security import ASKING
from service.server import Server
from service.store import Lease, Model
from service.telemetry import PARSE, SERIALISE
from service.work_threads import MIN_NUMBERS

# Of a number of an answer: as an array, in the message, and in the core.
BYTES_PER_NUMBER = 12
# Smaller answers are not charged.
MIN_CHARGED_BYTES = 2**16


class InferCalls:
    """Answers inference requests.

    Args:
        server: whose models are asked.
        slow: takes the answers of streams.
    """

    def __init__(self, server: Server, slow: SlowCallers) -> None:
        self._server = server
        self._slow = slow
        self._repository = server.repository

    async def infer(self, call: Call, message: bytes) -> bytes:
        """The answer to a ModelInferRequest."""
        lease, inference = await self._understood(call, message)
        with lease:
            return await self._whole(call, inference)

    async def answer_in_stream(self, context: Context, message: bytes) -> None:
        """Answer a message of a stream; an error is an answer too.

        Raises:
            NotTakenError: the caller does not take the answer.
        """
        call = Call(self._server, context, STREAM, "ModelStreamInfer")
        try:
            call.admit(context, ASKING)
            lease, inference = await self._understood(call, await call.content(message))
            with lease:
                async with aclosing(self._pieces(call, inference)) as pieces:
                    async for piece in pieces:
                        call.record.bytes_out += len(piece)
                        await self._slow.write(context, wire.stream_response(piece))
        except asyncio.CancelledError:  # the caller has left, perhaps in the midst of the answer
            call.record.fail("cancelled")
            raise
        except NotTakenError as error:
            call.failed(error)
            raise
        except Exception as error:
            await self._slow.write(context, stream_error(call.asked_id, call.failed(error)))
        finally:
            call.end()

    async def _understood(self, call: Call, message: bytes) -> tuple[Lease[Model], Inference]:
        """What a message asks of a model, and a lease of that: read at once where it is small."""
        self._server.check_started()
        reading, record = Reading(self._server.body_limits, call.share), call.record
        in_turn = self._server.inflight.parsing.in_turn
        is_small = len(message) <= MIN_THREAD_BYTES
        began = time.monotonic()
        if is_small:
            asked = read_request(message, reading)
        else:
            asked = await in_turn(read_request, message, reading)
        record.spent(PARSE, began, time.monotonic())
        call.asked_id = asked.request.id
        call.check_model(asked.name)
        lease, kind = await self._repository.find(asked.name, asked.version)
        try:
            began = time.monotonic()
            if is_small:
                inference = Inference.understood(kind, lease.resource, asked.request)
            else:
                understood = Inference.understood
                inference = await in_turn(understood, kind, lease.resource, asked.request)
            record.spent(PARSE, began, time.monotonic())
            call.charge_rows(inference.request.row_count)
        except BaseException:
            lease.release()
            raise
        return lease, inference

    async def _whole(self, call: Call, inference: Inference, final: bool | None = None) -> bytes:
        """An answer in one message."""
        if call.share.held > MIN_KEPT_BYTES:
            call.share.keep(inference.request.nbytes)
        max_rows = self._server.settings.max_rows
        numbers = inference.request.answer_numbers(inference.model.dimensions, max_rows)
        if numbers * BYTES_PER_NUMBER > MIN_CHARGED_BYTES:
            call.share.charge(numbers * BYTES_PER_NUMBER)
        answer = await inference.answer(self._server.operations, call.due)
        call.answered(len(answer.arrays["log_prob"]))
        began = time.monotonic()
        if answer.numbers <= MIN_NUMBERS:  # most of them: a coroutine less
            message = infer_response(inference, answer, final)
        else:
            threads = self._server.threads
            message = await threads.in_thread(infer_response, inference, answer, final)
        call.record.spent(SERIALISE, began, time.monotonic())
        return message

    async def _pieces(self, call: Call, inference: Inference) -> AsyncGenerator[bytes, None]:
        """An answer in several messages where it is of samples, and in one where not."""
        pieces = inference.operation.pieces
        if pieces is None:
            yield await self._whole(call, inference, final=True)
            return
        due = min(call.due, inference.deadline)
        asked: AnswerPieces = await pieces(
            self._server.operations, inference.model, inference.request, due
        )
        async with aclosing(asked.arrays):
            if asked.numbers > MIN_NUMBERS:
                call.share.charge(asked.numbers * BYTES_PER_NUMBER)
            rows = 0
            async for arrays in asked.arrays:
                rows += len(arrays["log_prob"])
                is_last = rows >= asked.rows
                if is_last:
                    call.answered(asked.rows)
                answer = Answer(arrays, asked.seed)
                yield await self._server.threads.run(
                    answer.numbers, infer_response, inference, answer, is_last, deadline=due
                )
