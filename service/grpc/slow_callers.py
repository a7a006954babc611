"""Callers who take their time: with a message, with the next one of a stream, or with an answer.

gRPC's core reads a message whole before it is seen here, and tells nobody how much of it has come.
So messages that take longer than a moment are few at a time, and those that wait longest are
refused for new ones. An answer that nobody takes is held by the core until the connection ends,
which is why the connection of such a caller is broken off.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc

from service.errors import (
    MalformedBodyError,
    MemoryFullError,
    OverloadedError,
    ServiceError,
    TooSlowError,
    UnavailableError,
)

# A message that is not here after that is slow.
MOMENT_SECONDS = 0.25
TICK_SECONDS = 0.25

# A stream that has been silent for less is ended neither for another one nor for the stop.
MIN_SILENT_SECONDS = 1.0

# Smaller answers are sent at once.
MIN_UNREAD_BYTES = 2**16

Context = Any
"""A servicer context of grpc.aio, whose messages are bytes."""


class NotTakenError(TooSlowError):
    """An answer that its caller does not take."""


class SlowCallers:
    """What callers of one server keep waiting.

    Args:
        most_slow: messages that may be slow at a time.
        message_seconds: in which a message comes.
        write_seconds: in which a piece of an answer is taken.
        most_streams: at a time.
        most_unread: bytes of answers that have not been taken.
        break_off: ends the connection of a peer.
    """

    def __init__(
        self,
        most_slow: int,
        message_seconds: float,
        write_seconds: float,
        most_streams: int,
        most_unread: int,
        break_off: Callable[[str], None],
    ) -> None:
        self._most_slow = most_slow
        self._message_seconds = message_seconds
        self._write_seconds = write_seconds
        self._most_streams = most_streams
        self._most_unread = most_unread
        self._break_off = break_off
        self._streams = 0
        self._unread_bytes = 0
        self._due = 0.0  # of the next look; 0 where there is none
        self._stalled = 0.0
        # who waits, since when by `_clock`; the longest waiting first
        self._messages: dict[asyncio.Task[Any], float] = {}
        self._silent: dict[asyncio.Task[Any], float] = {}
        self._unread: dict[Context, tuple[float, int]] = {}
        self._ended: dict[asyncio.Task[Any], ServiceError] = {}

    async def message(self, context: Context) -> bytes:
        """The message of a call, or the first one of a stream.

        Raises:
            MalformedBodyError: none comes.
            MemoryFullError: it comes slowly, as others do that began later.
            TooSlowError: it does not come to its end.
        """
        message = await self._awaited(context, self._messages)
        if message is None:
            raise MalformedBodyError("the call has no message")
        return message

    async def next_message(self, context: Context) -> bytes | None:
        """The next message of a stream, which may take any time; None at its end.

        Raises:
            UnavailableError: it was the longest silent one, or the server stops.
        """
        return await self._awaited(context, self._silent)

    def open_stream(self) -> None:
        """Count a stream; where there are too many, another is ended.

        Raises:
            OverloadedError: none of them is silent.
        """
        if self._streams >= self._most_streams:
            longest = next(iter(self._silent), None)
            if longest is None or self._clock() - self._silent[longest] < MIN_SILENT_SECONDS:
                raise OverloadedError(f"{self._streams} streams are open, as many as may be", 1)
            self._end(longest, UnavailableError("this stream was silent longest, others came"))
            del self._silent[longest]  # its place is taken
        self._streams += 1

    def close_stream(self) -> None:
        """Count a stream no more."""
        self._streams -= 1

    def end_silent(self) -> None:
        """End streams that have nothing to be answered any more, as the server stops."""
        now = self._clock()
        silent = [t for t, since in self._silent.items() if now - since >= MIN_SILENT_SECONDS]
        for task in silent:
            self._end(task, UnavailableError("the server stops: open a stream to another one"))

    def hold_answer(self, context: Context, size: int) -> None:
        """Count the bytes of an answer until it has been taken.

        Args:
            context: of the call, which has nothing more to send.
            size: of the answer.

        Raises:
            MemoryFullError: too many bytes wait for other callers.
        """
        if size < MIN_UNREAD_BYTES:
            return
        if self._unread_bytes and self._unread_bytes + size > self._most_unread:
            raise MemoryFullError(
                f"answers that have not been taken hold {self._unread_bytes} of the "
                f"{self._most_unread} bytes that they may hold, and this one needs {size} more"
            )
        self._unread_bytes += size
        self._unread[context] = self._clock(), size
        context.add_done_callback(self._taken)
        self._watch()

    async def write(self, context: Context, message: bytes) -> None:
        """Send a message of a stream, once the caller has taken most of those before it.

        Raises:
            NotTakenError: the caller takes nothing; the connection has been broken off.
            asyncio.CancelledError: the caller has left.
        """
        try:
            async with asyncio.timeout(self._write_seconds) as limit:
                await context.write(message)
            return
        except grpc.aio.InternalError:
            # core knows of the departure before the task of the call is cancelled
            raise asyncio.CancelledError from None
        except TimeoutError:
            if not limit.expired():
                raise
        self._break_off(context.peer())
        raise NotTakenError(f"nothing of an answer was taken in {self._write_seconds:g} s")

    async def _awaited(
        self, context: Context, waiting: dict[asyncio.Task[Any], float]
    ) -> bytes | None:
        task = asyncio.current_task()
        assert task is not None
        waiting[task] = self._clock()
        self._watch()
        error = None
        try:
            message = await context.read()
        except asyncio.CancelledError:
            error = self._ended.pop(task, None)
            if error is None or task.uncancel():
                raise
        finally:
            waiting.pop(task, None)
        if error is not None:
            raise error
        return None if message is grpc.aio.EOF else message

    def _taken(self, context: Context) -> None:
        _, size = self._unread.pop(context)
        self._unread_bytes -= size

    def _end(self, task: asyncio.Task[Any], error: ServiceError) -> None:
        if task not in self._ended:
            self._ended[task] = error
            task.cancel()

    def _clock(self) -> float:
        """Seconds, without those in which nothing was done here: a caller is not slow by them."""
        return time.monotonic() - self._stalled

    def _watch(self) -> None:
        if not self._due:
            self._due = time.monotonic() + TICK_SECONDS
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._look)

    def _look(self) -> None:
        """End what has taken too long."""
        # a process that gets no CPU would take all that is there for slow, be it small
        self._stalled += max(0.0, time.monotonic() - self._due)
        now = self._clock()
        slow = [task for task, since in self._messages.items() if now - since > MOMENT_SECONDS]
        for task in slow[: max(0, len(slow) - self._most_slow)]:
            text = f"more than {self._most_slow} messages come slowly, this one longest of all"
            self._end(task, MemoryFullError(text))
        for task in slow:
            if now - self._messages[task] > self._message_seconds:
                text = f"the message was not here after {self._message_seconds:g} seconds"
                self._end(task, TooSlowError(text))
        for context, (since, _) in tuple(self._unread.items()):
            if now - since > self._write_seconds:
                self._break_off(context.peer())
        self._due = 0.0
        if self._messages or self._unread:
            self._watch()


def break_off(peer: str, port: int) -> None:
    """End the connection of a peer at once; gRPC has no call for that.

    Args:
        peer: as gRPC writes it: ipv4:127.0.0.1:4321 or ipv6:%5B::1%5D:4321.
        port: of the server.
    """
    address, _, peer_port = unquote(peer).partition(":")[2].rpartition(":")
    host = address.strip("[]")
    for entry in Path("/dev/fd").iterdir():
        with suppress(OSError):  # most are no sockets, or have no peer
            number = os.dup(int(entry.name))
            try:
                own = socket.socket(fileno=number)
            except OSError:
                os.close(number)
                continue
            with own:
                if own.family not in (socket.AF_INET, socket.AF_INET6):
                    continue
                own_host, own_port = own.getpeername()[:2]
                is_peer = own_host.removeprefix("::ffff:") == host and own_port == int(peer_port)
                if is_peer and own.getsockname()[1] == port:
                    own.shutdown(socket.SHUT_RDWR)
