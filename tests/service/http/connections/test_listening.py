"""Listening: how many connections are taken at a time, and that none is lost at its end."""

import asyncio
import socket
from functools import partial
from typing import Any

import pytest
import uvloop

from service.http.connections import SharedListener, listen_with_copies, stop_accepting
from service.http.connections.listener import ACCEPTED_A_TURN


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


def test_connections_that_wait_to_be_taken_are_taken_before_listening_ends() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=256)
        address = server.sockets[0].getsockname()
        # the event loop does not run meanwhile: all of them wait in the kernel's queue
        callers = [socket.create_connection(address, timeout=20) for _ in range(200)]
        for caller in callers:
            caller.sendall(b"hello")
        await stop_accepting([server])
        for caller in callers:
            assert await asyncio.to_thread(caller.recv, 5) == b"hello"
            caller.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address, timeout=20)

    asyncio.run(work())


class Counted(asyncio.Protocol):
    """Counts those that are taken."""

    taken = 0

    def connection_made(self, transport: Any) -> None:
        Counted.taken += 1


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_several_connections_are_taken_in_a_turn_of_the_event_loop(runner: Any) -> None:
    many = 20 * ACCEPTED_A_TURN

    async def turns() -> int:
        Counted.taken, count = 0, 0
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Counted, "127.0.0.1", 0, backlog=256)
        servers = [server, *await listen_with_copies([server], Counted, 256)]
        address = server.sockets[0].getsockname()
        callers = [socket.create_connection(address, timeout=20) for _ in range(many)]
        while Counted.taken < many:
            count += 1
            await asyncio.sleep(0)
        await stop_accepting(servers)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address, timeout=20)
        for caller in callers:
            caller.close()
        return count

    assert runner(turns()) <= 2 * many / ACCEPTED_A_TURN


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_shared_socket_serves_on_when_one_of_its_listeners_ends(runner: Any) -> None:
    async def work() -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        address, fewest = listening.getsockname(), [True, True]
        one, two = (
            SharedListener([listening], Echo, 256, None, partial(fewest.__getitem__, place))
            for place in range(2)
        )
        await stop_accepting([one], keeps_out=False)
        # as one that has more connections than another waits for that one, and takes it then
        fewest[1] = False
        with await asyncio.to_thread(socket.create_connection, address, 20) as caller:
            caller.sendall(b"hello")
            assert await asyncio.to_thread(caller.recv, 5) == b"hello"
        callers = [socket.create_connection(address, timeout=20) for _ in range(100)]
        listening.close()
        for caller in callers:
            caller.sendall(b"there")
        await stop_accepting([two])
        for caller in callers:
            assert await asyncio.to_thread(caller.recv, 5) == b"there"
            caller.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address, timeout=20)

    runner(work())
