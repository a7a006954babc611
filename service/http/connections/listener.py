"""Listening and its end: how many connections are taken at a time, and that each is served."""

import asyncio
import ctypes
import os
import select
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

# Connections taken in one turn of the event loop. libuv takes one of each listening socket. Where
# 1,500 callers connect at once and a turn takes milliseconds, whoever connects after them waited a
# turn for each: up to 8 s, beside 0.1 s on connections that were open already. With eight sockets
# 0.4 s, with four 0.8 s.
ACCEPTED_A_TURN = 8

# Time for callers whose connection is being made, from the kernel's answer to their own.
HANDSHAKE_SECONDS = 0.1
# After that, for the event loop to take what the kernel has made.
ACCEPT_SECONDS = 2.0

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


async def stop_accepting(servers: Sequence[asyncio.base_events.Server]) -> None:
    """Close listening sockets; connections that the kernel has made by then are served.

    A socket that is closed breaks off the connections in its queue, whose callers may have sent
    their requests. So new ones are kept out first, where the kernel can be told to (Linux): their
    callers try again after a second, and are refused, as if nobody had listened. Then the queue is
    emptied, and only then the socket closed.

    Args:
        servers: that listen; to be closed when this returns.
    """
    listening = [socket.socket(fileno=os.dup(s.fileno())) for one in servers for s in one.sockets]
    try:
        if min(map(_keep_out, listening), default=False):
            await asyncio.sleep(HANDSHAKE_SECONDS)
        loop = asyncio.get_running_loop()
        end = loop.time() + ACCEPT_SECONDS
        while _is_waiting(listening) and loop.time() < end:
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
