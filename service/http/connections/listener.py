"""Listening and its end: how many connections are taken at a time, and that each is served."""

import asyncio
import ctypes
import errno
import logging
import os
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

log = logging.getLogger(__name__)

# Connections taken in one turn of the event loop. libuv takes one of each listening socket. Where
# 1,500 callers connect at once and a turn takes milliseconds, whoever connects after them waited a
# turn for each: up to 8 s, beside 0.1 s on connections that were open already. With eight sockets
# 0.4 s, with four 0.8 s.
ACCEPTED_A_TURN = 8

# Time for callers whose connection is being made, from the kernel's answer to their own.
HANDSHAKE_SECONDS = 0.1
# After that, for the event loop to take what the kernel has made.
ACCEPT_SECONDS = 2.0

# For so long a process leaves connections that wait to others that have fewer.
DEFER_SECONDS = 0.005

# This process has, or the machine: no more files are to be had, and each connection is one.
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
OUT_OF_FILES_SECONDS = 1.0

SO_ATTACH_FILTER = 26
# A filter of packets for one socket (Linux, socket(7)): each instruction is a code, two jumps and
# a constant. It looks at the flags of the TCP header and drops what would begin a connection.
DROP_NEW_CONNECTIONS = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # where it is SYN alone
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFF),  # else accept
)


async def listen_with_copies(
    servers: Sequence[asyncio.base_events.Server],
    protocol: Callable[[], asyncio.Protocol],
    backlog: int,
    context: ssl.SSLContext | None = None,
) -> list[asyncio.base_events.Server]:
    """Listen on copies of sockets, so that several connections are taken in a turn.

    Args:
        servers: that listen.
        protocol: makes that of a connection.
        backlog: connections that the kernel holds.
        context: of TLS; None where there is none.

    Returns:
        Servers on the copies, to be closed as the others.
    """
    loop = asyncio.get_running_loop()
    copies = [
        socket.socket(fileno=os.dup(listening.fileno()))
        for server in servers
        for listening in server.sockets
        for _ in range(ACCEPTED_A_TURN - 1)
    ]
    return [
        await (loop.create_unix_server if copy.family == socket.AF_UNIX else loop.create_server)(
            protocol, sock=copy, backlog=backlog, ssl=context
        )
        for copy in copies
    ]


class SharedListener:
    """Takes connections of sockets on which other processes listen as well.

    The kernel wakes all of them for a new connection, and the first one that has a CPU takes it.
    Where others use the CPUs, as callers on the same machine do, that is one process again and
    again. So a process takes as many as leave it no more than the others have, says so before
    these connections are made, and leaves those that wait to the others for a moment.

    The sockets are the same in all processes: what nobody has taken stays in their queue, whatever
    becomes of a process.

    Args:
        sockets: bound; to be closed by who has opened them.
        protocol: makes that of a connection.
        backlog: connections that the kernel holds.
        context: of TLS; None where there is none.
        room: how many connections this process should take now, so that the others have as many; it
            is told whether these have had time to take them.
        on_taken: told 1 when a connection has been taken, and -1 when it has been made or is none.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        protocol: Callable[[], asyncio.Protocol],
        backlog: int,
        context: ssl.SSLContext | None,
        room: Callable[[bool], float],
        on_taken: Callable[[int], None],
    ) -> None:
        self.sockets = [socket.socket(fileno=os.dup(one.fileno())) for one in sockets]
        self._protocol = protocol
        self._context = context
        self._room = room
        self._on_taken = on_taken
        self._loop = asyncio.get_running_loop()
        self._taking: set[asyncio.Task[None]] = set()
        self._is_closed = False
        for one in self.sockets:
            one.setblocking(False)
            one.listen(backlog)
            self._loop.add_reader(one, self._see, one)

    def take_all(self) -> None:
        """Leave nothing that waits to others any more: they end as well."""
        self._room = lambda _: ACCEPTED_A_TURN

    def close(self) -> None:
        """Take no more connections."""
        if not self._is_closed:
            self._is_closed = True
            for one in self.sockets:
                self._loop.remove_reader(one)
                one.close()

    async def wait_closed(self) -> None:
        """Wait until those that have been taken have their protocol."""
        while self._taking:
            await asyncio.wait(self._taking)

    def _see(self, listening: socket.socket) -> None:
        """A connection waits in the queue."""
        if (room := self._room(False)) >= 1:
            self._take(listening, room)
        else:
            self._pause(listening, DEFER_SECONDS)

    def _pause(self, listening: socket.socket, seconds: float) -> None:
        """Take nothing of a queue for a while."""
        self._loop.remove_reader(listening)
        self._loop.call_later(seconds, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        """Take what others have left in the queue."""
        if not self._is_closed:
            self._loop.add_reader(listening, self._see, listening)
            self._take(listening, self._room(True))

    def _take(self, listening: socket.socket, room: float) -> None:
        for _ in range(int(min(room, ACCEPTED_A_TURN))):
            try:
                connection, _ = listening.accept()
            except OSError as error:
                if error.errno in OUT_OF_FILES:  # asyncio's own server waits as long
                    log.error("no connection can be taken: %s", error.strerror)
                    self._pause(listening, OUT_OF_FILES_SECONDS)
                return  # nothing is there any more, or it has been broken off
            connection.setblocking(False)
            self._on_taken(1)
            task = self._loop.create_task(self._serve(connection))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _serve(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._context)
        except OSError:  # of TLS too: who came has left, or speaks something else
            connection.close()
        finally:
            self._on_taken(-1)


Listening = asyncio.base_events.Server | SharedListener


async def stop_accepting(servers: Sequence[Listening], *, keeps_out: bool = True) -> None:
    """Close listening sockets; connections that the kernel has made by then are served.

    A socket that is closed breaks off the connections in its queue, whose callers may have sent
    their requests. So new ones are kept out first, where the kernel can be told to (Linux): their
    callers try again after a second, and are refused, as if nobody had listened. Then the queue is
    emptied, and only then the socket closed.

    Args:
        servers: that listen; to be closed when this returns.
        keeps_out: whether nobody is to be let in; another process may go on listening.
    """
    listening = [socket.socket(fileno=os.dup(s.fileno())) for one in servers for s in one.sockets]
    try:
        for server in servers:
            if keeps_out and isinstance(server, SharedListener):
                server.take_all()
        if keeps_out and min(map(_keep_out, listening), default=False):
            await asyncio.sleep(HANDSHAKE_SECONDS)
        loop = asyncio.get_running_loop()
        end = loop.time() + ACCEPT_SECONDS
        while keeps_out and _is_waiting(listening) and loop.time() < end:
            await asyncio.sleep(0)
        # asyncio takes a connection in one turn and gives it its protocol in a later one
        for _ in range(3):
            await asyncio.sleep(0)
        for server in servers:
            server.close()
    finally:
        for each in listening:
            each.close()


def _keep_out(listening: socket.socket) -> bool:
    """Have the kernel drop requests for new connections; returns whether it does."""
    if sys.platform != "linux":
        return False
    program = b"".join(struct.pack("=HBBI", *one) for one in DROP_NEW_CONNECTIONS)
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(DROP_NEW_CONNECTIONS), ctypes.addressof(instructions))
    with suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)
        return True
    return False


def _is_waiting(listening: Sequence[socket.socket]) -> bool:
    """Whether a connection waits to be taken."""
    poll = select.poll()
    for each in listening:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(0))
