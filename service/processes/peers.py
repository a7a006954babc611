"""A worker's part of what workers ask each other."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

from service.errors import ServiceError
from service.processes.hub import CHANGE

log = logging.getLogger(__name__)

# Of one message; the largest are the gauges of thousands of models.
MAX_MESSAGE_BYTES = 2**26

# How long a question waits for workers that are busy.
SECONDS = 2.0

Handler = Callable[..., Awaitable[Any]]


class PeersError(Exception):
    """A worker could not do what it was asked to.

    Args:
        reason: a word of the errors of the service.
        detail: for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Peers:
    """The other workers, as one of them asks them and is asked by them.

    Args:
        number: of this worker.
        channel: to the parent.
    """

    def __init__(self, number: int, channel: socket.socket) -> None:
        self._own = number
        self._channel = channel
        self._handlers: dict[str, Handler] = {}
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[list[dict[str, Any]]]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._changing = asyncio.Lock()
        self._answering: set[asyncio.Task[None]] = set()
        self.on_orphaned: Callable[[], None] = lambda: None
        """Called when the parent is gone."""

    def on(self, kind: str, handler: Handler) -> None:
        """Have questions of a kind answered by what a function returns, as JSON has it."""
        self._handlers[kind] = handler

    async def keep(self) -> None:
        """Answer what is asked, until this is cancelled or the parent is gone."""
        reader, self._writer = await asyncio.open_connection(
            sock=self._channel, limit=MAX_MESSAGE_BYTES
        )
        try:
            while line := await reader.readline():
                self._take(json.loads(line))
        except OSError:
            pass
        finally:
            self._writer.close()
            self._writer = None
        self.on_orphaned()

    async def ask(
        self,
        kind: str,
        *arguments: Any,
        everyone: bool = False,
        skips_errors: bool = False,
        seconds: float = SECONDS,
    ) -> list[Any]:
        """What the others answer, as far as they do so in time.

        Args:
            kind: of the question.
            arguments: of it, as JSON has them.
            everyone: whether this worker is asked as well.
            skips_errors: whether those who could not do it are left out.
            seconds: to wait for those who are busy.

        Raises:
            PeersError: one of them could not do it, this worker's own error first.
        """
        if self._writer is None:
            return []
        number, loop = next(self._numbers), asyncio.get_running_loop()
        future = self._waiting[number] = loop.create_future()
        asked = {"ask": kind, "number": number, "everyone": everyone, "seconds": seconds}
        self._send({**asked, "arguments": arguments})
        try:
            async with asyncio.timeout(seconds + 1.0):  # the parent ends it before
                answers = await future
        except TimeoutError:
            answers = []
        finally:
            del self._waiting[number]
        answers.sort(key=lambda answer: answer["worker"] != self._own)
        for answer in answers:
            if not skips_errors and (error := answer.get("error")) is not None:
                raise PeersError(*error)
        return [answer["ok"] for answer in answers if "ok" in answer]

    def tell(self, kind: str, *arguments: Any) -> None:
        """Ask the others, and wait for no answer."""
        if self._writer is not None:
            asked = {"ask": kind, "number": -1, "everyone": False, "seconds": SECONDS}
            self._send({**asked, "arguments": arguments})

    def _take(self, message: dict[str, Any]) -> None:
        if "do" in message:
            task = asyncio.create_task(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif (future := self._waiting.get(message["answers"])) is not None and not future.done():
            future.set_result(message["of"])

    async def _answer(self, message: dict[str, Any]) -> None:
        kind, arguments = message["do"], message["arguments"]
        if kind == CHANGE:
            async with self._changing:  # in the order in which they come
                said = await self._done(kind, arguments)
        else:
            said = await self._done(kind, arguments)
        self._send({"re": message["number"], **said})

    async def _done(self, kind: str, arguments: Sequence[Any]) -> dict[str, Any]:
        try:
            return {"ok": await self._handlers[kind](*arguments)}
        except ServiceError as error:
            return {"error": (error.reason, error.detail)}
        except Exception:  # a mistake of ours in one answer is not to end the others
            log.exception("another worker could not be answered")
            return {"error": ("internal", "another worker could not answer: its log says why")}

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):
            if self._writer is not None:
                self._writer.write(json.dumps(message).encode() + b"\n")
