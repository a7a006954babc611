"""Callers who leave, seen on real sockets."""

import asyncio
import socket
import sys
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tests.helpers.wire import LIMITS, Caller, Party, settle

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


class Worker:
    """An application that works until its caller leaves."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            self.begun += 1
        self.ended += 1


def with_socket(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """The caller's end of a socket that its connection has the other end of."""
    ours, theirs = socket.socketpair()

    def get_extra_info(name: str, default: Any = None) -> Any:
        return ours if name == "socket" else default

    monkeypatch.setattr(caller.wire, "get_extra_info", get_extra_info)
    return theirs


@pytest.mark.skipif(sys.platform != "linux", reason="needs POLLRDHUP")
def test_a_departure_is_noticed_while_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        app = Worker()
        party = Party(app)
        caller = party.caller()
        theirs = with_socket(caller, monkeypatch)
        await caller.says(GET + GET)  # the second is sent ahead, so that no more is read
        assert caller.wire.is_paused
        await party.wait(5)
        assert (app.begun, app.ended) == (1, 0)
        theirs.close()
        await party.wait(0.25)
        assert (app.begun, app.ended) == (1, 1)
        assert caller.wire.is_aborted

    asyncio.run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="needs POLLRDHUP")
def test_nothing_is_begun_for_who_is_gone_before_the_request_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        app = Worker()
        caller = Party(app).caller()
        with_socket(caller, monkeypatch).close()
        await caller.says(GET + GET)
        assert (app.begun, app.ended) == (0, 0)
        assert caller.wire.is_aborted
        assert caller.connection.cycle is None  # it and the connection would refer to each other

    asyncio.run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="needs POLLRDHUP")
def test_nothing_is_read_of_who_is_gone_when_its_turn_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        party = Party(Worker())
        caller = party.caller()
        with_socket(caller, monkeypatch).close()
        caller.connection.connection_made(caller.wire)
        assert caller.wire.is_aborted
        assert caller.connection.is_closing

    asyncio.run(work())


def test_who_sends_no_more_has_left() -> None:
    async def work() -> None:
        app = Worker()
        caller = Party(app).caller()
        await caller.says(GET)
        caller.connection.eof_received()
        await settle()
        assert app.ended == 1
        assert caller.wire.is_aborted

    asyncio.run(work())


def test_after_the_stop_connections_are_answered_until_they_are_silent() -> None:
    async def work() -> None:
        party = Party()
        asking, silent = party.caller(), party.caller()
        await party.wait(10)
        party.registry.stop()
        await party.wait(0.5)
        await asking.says(GET[:9])
        await party.wait(0.75)
        assert silent.wire.is_closed  # a second after the stop, however long it was silent before
        assert silent.closed("stop") == 1
        assert not asking.wire.is_closed
        await asking.says(GET[9:])
        answer = await asking.hears()
        assert b"200 OK" in answer
        assert b"connection: close" in answer
        assert asking.wire.is_closed
        assert len(party.registry) == 0

    asyncio.run(work())


def test_what_was_sent_ahead_is_answered_before_the_stop() -> None:
    async def work() -> None:
        party = Party(limits=replace(LIMITS, max_connections=1))
        caller = party.caller()
        party.registry.is_draining = True
        await caller.says(GET * 3)
        answer = await caller.hears()
        assert answer.count(b"200 OK") == 3
        assert answer.count(b"connection: close") == 1
        assert answer.rindex(b"200 OK") < answer.index(b"connection: close")

    asyncio.run(work())
