"""Listening: how many connections are taken at a time, and that none is lost at its end."""

import asyncio
import errno
import math
import socket
from functools import partial
from typing import Any

import pytest
import uvloop

from service.http.connections import SharedListener, listen_with_copies, stop_accepting
from service.http.connections.listener import ACCEPTED_A_TURN
from service.processes import Board, State


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


def at_least_late(room: list[float], place: int, is_late: bool) -> float:
    return max(room[place], is_late)


def ignore(_: int) -> None:
    pass


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_shared_socket_serves_on_when_one_of_its_listeners_ends(runner: Any) -> None:
    async def work() -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        address, room = listening.getsockname(), [math.inf, math.inf]
        one, two = (
            SharedListener(
                [listening], Echo, 256, None, partial(at_least_late, room, place), ignore
            )
            for place in range(2)
        )
        await stop_accepting([one], keeps_out=False)
        # as one that has more connections than another waits for that one, and takes it then
        room[1] = 0
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


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("many", [2, 16, 100])
def test_a_burst_is_shared_with_a_process_that_has_no_cpu_yet(
    runner: Any, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.connections.listener.DEFER_SECONDS", 0.05)
    board, open_now, made = Board(2), [0, 0], [0, 0]
    for worker in range(2):
        board.beat(worker, State.READY)

    def listener(listening: socket.socket, worker: int) -> SharedListener:
        def count(change: int) -> None:
            open_now[worker] += change
            board.set_connections(worker, open_now[worker])

        class Kept(Echo):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                made[worker] += 1
                count(1)

        room = partial(board.room, worker)
        return SharedListener(
            [listening], Kept, 256, None, lambda is_late: room(is_late=is_late), count
        )

    async def work() -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        one = listener(listening, 0)
        callers = [
            socket.create_connection(listening.getsockname(), timeout=20) for _ in range(many)
        ]
        for _ in range(20):
            await asyncio.sleep(0)  # no time passes for the other process
        assert open_now == [1, 0]
        two = listener(listening, 1)
        while sum(made) < many:
            await asyncio.sleep(0.001)
        await one.wait_closed()
        await two.wait_closed()
        assert open_now == made
        assert abs(made[0] - made[1]) <= max(2, many / 8)
        await stop_accepting([one, two])
        for caller in callers:
            caller.sendall(b"hello")
            assert await asyncio.to_thread(caller.recv, 5) == b"hello"
            caller.close()
        listening.close()

    runner(work())


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_where_files_run_out_a_queue_is_looked_at_again_once_a_pause(
    runner: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.http.connections.listener.OUT_OF_FILES_SECONDS", 0.05)

    def refuse(_: socket.socket) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", refuse)

    async def work() -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        room = partial(at_least_late, [0.0], 0)  # so that each try is a late one
        one = SharedListener([listening], Echo, 256, None, room, ignore)
        with socket.create_connection(listening.getsockname(), timeout=20):
            await asyncio.sleep(0.5)
        one.close()
        listening.close()

    runner(work())
    said = [record for record in caplog.records if "no connection can be taken" in record.message]
    assert 2 <= len(said) <= 11
