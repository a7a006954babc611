"""What workers ask each other, without processes."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from service.processes.hub import CHANGE, Hub, Link


class Room:
    """A hub and three workers, of which each has what came to it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.awake = {0, 1, 2}
        self.hub = Hub(lambda worker: worker in self.awake, lambda: self.now)
        pairs = [socket.socketpair() for _ in range(3)]
        for ours, its in pairs:
            ours.setblocking(False)
            its.setblocking(False)
        self.ends = [its for _, its in pairs]
        self.links = [Link(number, ours) for number, (ours, _) in enumerate(pairs)]
        for link in self.links:
            self.hub.add(link)

    def ask(self, worker: int, kind: str, *arguments: Any, everyone: bool = False) -> None:
        asked = {"ask": kind, "number": 7, "everyone": everyone, "seconds": 2.0}
        self.hub.take(self.links[worker], {**asked, "arguments": arguments})

    def came(self, worker: int) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.ends[worker].recv(2**20).splitlines()]
        except BlockingIOError:
            return []

    def answer(self, worker: int, asked: dict[str, Any], **said: Any) -> None:
        self.hub.take(self.links[worker], {"re": asked["number"], **said})


@pytest.fixture
def room() -> Iterator[Room]:
    one = Room()
    yield one
    for end in (*one.ends, *(link.channel for link in one.links)):
        end.close()


def test_a_question_goes_to_all_others_and_their_answers_come_together(room: Room) -> None:
    room.ask(1, "gauges")
    assert room.came(1) == []
    for worker in (0, 2):
        (asked,) = room.came(worker)
        assert asked["do"] == "gauges"
        room.answer(worker, asked, ok=worker)
    (said,) = room.came(1)
    assert said == {"answers": 7, "of": [{"worker": 0, "ok": 0}, {"worker": 2, "ok": 2}]}


def test_who_is_gone_or_too_slow_is_waited_for_no_more(room: Room) -> None:
    room.ask(0, "gauges")
    (asked,) = room.came(1)
    room.answer(1, asked, ok=1)
    assert room.came(0) == []
    room.hub.remove(room.links[2])
    assert room.came(0) == [{"answers": 7, "of": [{"worker": 1, "ok": 1}]}]
    room.ask(0, "gauges")
    (asked,) = room.came(1)
    assert room.hub.end_late() == 2.0
    room.now = 2.0
    assert room.hub.end_late() is None
    assert room.came(0) == [{"answers": 7, "of": []}]
    room.answer(1, asked, ok=1)  # too late for anybody
    assert room.came(0) == []


def test_who_is_being_started_is_asked_and_not_waited_for(room: Room) -> None:
    room.awake = {0, 1}
    room.ask(0, "reset", "wine", 1)
    (asked,) = room.came(1)
    room.answer(1, asked, ok=None)
    assert room.came(0) == [{"answers": 7, "of": [{"worker": 1, "ok": None}]}]
    (asked,) = room.came(2)
    assert asked["do"] == "reset"
    room.answer(2, asked, ok=None)
    assert room.came(0) == []
    room.ask(0, CHANGE, "load", "wine", everyone=True)
    for worker in (0, 1):
        (asked,) = room.came(worker)
        room.answer(worker, asked, ok=None)
    assert room.came(0) == []  # a load is one of all


def test_who_asks_alone_has_its_answer_at_once(room: Room) -> None:
    for link in room.links[1:]:
        room.hub.remove(link)
    room.ask(0, "gauges")
    assert room.came(0) == [{"answers": 7, "of": []}]


def test_changes_come_to_all_in_one_order(room: Room) -> None:
    room.ask(0, CHANGE, "unload", "wine", everyone=True)
    room.ask(2, CHANGE, "load", "wine", everyone=True)
    assert [[one["arguments"][0] for one in room.came(worker)] for worker in range(3)] == 3 * [
        ["unload", "load"]
    ]


def test_what_is_unloaded_is_told_to_those_that_come_later(room: Room) -> None:
    room.ask(0, CHANGE, "unload", "wine", everyone=True)
    assert room.hub.unloaded == {"wine"}
    for worker in range(3):
        (asked,) = room.came(worker)
        room.answer(worker, asked, ok=None)
    assert room.hub.unloaded == {"wine"}
    room.ask(1, CHANGE, "unload", "nobody", everyone=True)
    for worker in range(3):
        (asked, *_) = room.came(worker)[-1:]
        room.answer(worker, asked, error=["unknown-model", "no model 'nobody'"])
    assert room.hub.unloaded == {"wine"}
    room.ask(2, CHANGE, "load", "wine", everyone=True)
    assert room.hub.unloaded == set()


def test_a_message_may_come_in_any_parts(room: Room) -> None:
    link, end = room.links[0], room.ends[0]
    content = json.dumps({"re": 1, "ok": "x" * 100}).encode() + b"\n"
    messages = []
    for place in range(len(content)):
        end.send(content[place : place + 1])
        messages += link.read() or []
    assert messages == [{"re": 1, "ok": "x" * 100}]
    end.close()
    assert link.read() is None


def test_what_a_worker_does_not_read_waits_for_it(room: Room) -> None:
    sent = {"do": "gauges", "arguments": ["y" * 50_000]}
    for _ in range(20):
        room.links[1].send(sent)
    assert room.links[1].unsent
    came = b""
    while came.count(b"\n") < 20:
        came += room.ends[1].recv(2**16)
        room.links[1].flush()
    assert [json.loads(line) for line in came.splitlines()] == 20 * [sent]
