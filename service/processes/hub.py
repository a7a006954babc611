"""The parent's part of what workers ask each other: every question passes it, in one order."""

import json
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

READ_BYTES = 2**18

# What waits for a worker that reads nothing; more is dropped with the worker, which hangs.
MAX_UNSENT_BYTES = 64 * 2**20

CHANGE = "change"
"""What loads and unloads models: `load NAME` or `unload NAME`."""

Message = dict[str, Any]


@dataclass(eq=False)
class Link:
    """The parent's end of a channel to one worker.

    Args:
        number: of the worker.
        channel: a socket that never waits.
    """

    number: int
    channel: socket.socket
    received: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)

    def read(self) -> list[Message] | None:
        """The messages that have come whole; None where the worker has gone."""
        try:
            content = self.channel.recv(READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not content:
            return None
        *lines, rest = (self.received + content).split(b"\n")
        self.received = rest
        return [json.loads(line) for line in lines]

    def send(self, message: Message) -> None:
        """Have a message sent, at once or when the worker reads again."""
        if len(self.unsent) < MAX_UNSENT_BYTES:
            self.unsent += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the worker takes it."""
        try:
            while self.unsent:
                del self.unsent[: self.channel.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:  # it has gone, which `read` finds out
            self.unsent.clear()


@dataclass(eq=False)
class _Question:
    """A question that has not been answered by all.

    Args:
        asker: who waits for the answers.
        number: by which the asker knows it.
        end: when it is over, whoever has answered, on `time.monotonic`'s clock.
        waiting: workers that have not answered.
        arguments: of what is asked.
    """

    asker: Link
    number: int
    end: float
    waiting: set[int]
    kind: str
    arguments: Sequence[Any]
    answers: list[Message] = field(default_factory=list)


class Hub:
    """Passes questions of workers to workers, and their answers back.

    A question to everybody goes to who asks as well, and all are asked in the order in which the
    parent has read the questions: so models that are loaded and unloaded by two workers at once are
    in the end the same in all.

    Args:
        is_awake: whether the event loop of a worker goes round. One that is being started has what
            it is asked when it does, and is waited for only where everybody is asked.
        clock: seconds.
    """

    def __init__(
        self, is_awake: Callable[[int], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_awake = is_awake
        self._clock = clock
        self._links: dict[int, Link] = {}
        self._questions: dict[int, _Question] = {}
        self._asked = 0
        self.unloaded: set[str] = set()
        """Models that a caller has unloaded and none has loaded since."""

    def add(self, link: Link) -> None:
        """A worker has been started."""
        self._links[link.number] = link

    def remove(self, link: Link) -> None:
        """A worker is gone, and will answer nothing."""
        self._links.pop(link.number, None)
        for number, question in list(self._questions.items()):
            if question.asker is link:
                del self._questions[number]
                continue
            question.waiting.discard(link.number)
            self._end_if_answered(number, question)

    def take(self, link: Link, message: Message) -> None:
        """A worker says something: a question, or an answer."""
        if "ask" in message:
            self._ask(link, message)
        elif (question := self._questions.get(number := message["re"])) is not None:
            question.waiting.discard(link.number)
            del message["re"]
            question.answers.append({"worker": link.number, **message})
            self._end_if_answered(number, question)

    def end_late(self) -> float | None:
        """End the questions whose time is over; returns seconds until the next one's is."""
        now = self._clock()
        for number, question in list(self._questions.items()):
            if now >= question.end:
                self._end(number, question)
        ends = [question.end for question in self._questions.values()]
        return None if not ends else max(0.0, min(ends) - now)

    def _ask(self, link: Link, message: Message) -> None:
        self._asked += 1
        others = {n for n in self._links if message["everyone"] or n != link.number}
        question = _Question(
            link,
            message["number"],
            self._clock() + message["seconds"],
            {n for n in others if message["everyone"] or self._is_awake(n)},
            message["ask"],
            message["arguments"],
        )
        if question.kind == CHANGE:
            self._note_change(question)
        self._questions[self._asked] = question
        asked = {"do": question.kind, "number": self._asked, "arguments": question.arguments}
        for other in sorted(others):
            self._links[other].send(asked)
        self._end_if_answered(self._asked, question)

    def _note_change(self, question: _Question) -> None:
        """Remember what whoever is started from now on is to know of a change."""
        what, name = question.arguments
        if what == "unload":
            self.unloaded.add(name)
        else:
            self.unloaded.discard(name)

    def _end_if_answered(self, number: int, question: _Question) -> None:
        if not question.waiting and number in self._questions:
            self._end(number, question)

    def _end(self, number: int, question: _Question) -> None:
        del self._questions[number]
        if question.kind == CHANGE and all("ok" not in answer for answer in question.answers):
            self.unloaded.discard(question.arguments[1])  # there is no such model
        question.asker.send({"answers": question.number, "of": question.answers})
