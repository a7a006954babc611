"""Progress on stderr: a line that is written over on a terminal, lines of their own in a log.

Bars show how far a loop is; phases what a long command does, and how long each part took.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

CURSOR_UP = "\x1b[A"

# A log has a line for each part that took so long; a terminal says where the command is this often.
MIN_SECONDS, SECONDS_BETWEEN_LINES = 1.0, 0.2

# The line of a terminal is written over.
CLEARED = "\r\x1b[K"


class LogLines:
    """A stream on which every state of a bar ends its line.

    A bar begins with a carriage return and has no end of its own, so that whoever reads a log line
    by line, as container engines do, would get it all at once after the training.

    Args:
        stream: of the log.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> None:
        """Write a line, unless the text only moves the cursor."""
        if line := text.replace(CURSOR_UP, "").strip():
            self._stream.write(f"{line}\n")

    def flush(self) -> None:
        """Hand on what was written."""
        self._stream.flush()


def progress_bar(
    items: Iterable[Item] | None = None, line: int | None = None, **options: Any
) -> "tqdm[Item]":
    """Show progress five times a second on a terminal, every five seconds elsewhere.

    Args:
        items: to go through.
        line: so many lines below the cursor of a terminal; None where it is the only bar.
        options: of tqdm.
    """
    if sys.stderr.isatty():
        return tqdm(items, mininterval=0.2, position=line, leave=line is None, **options)
    return tqdm(items, mininterval=5, file=LogLines(sys.stderr), **options)


class _Phase:
    """A part of a command that is under way."""

    def __init__(self, name: str) -> None:
        self.name, self.began, self.shown = name, time.monotonic(), 0.0

    def show(self, where: str = "") -> None:
        """Say on a terminal what is done now."""
        now = time.monotonic()
        if sys.stderr.isatty() and now - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = now
            line = f"{self.name}, {where} …" if where else f"{self.name} …"
            print(f"{CLEARED}{line}", end="", file=sys.stderr, flush=True)

    def end(self, is_done: bool) -> None:
        """Say how long it took."""
        seconds = time.monotonic() - self.began
        line = f"{self.name}: {seconds:.1f} s{'' if is_done else ', given up'}"
        if sys.stderr.isatty():
            print(CLEARED, end="", file=sys.stderr, flush=True)
        if seconds >= MIN_SECONDS:
            print(line, file=sys.stderr, flush=True)


_under_way: list[_Phase] = []
"""The parts under way, each within the one before it."""


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Name a part of a command while it runs, and say at its end how long it took.

    Args:
        name: of the part.
    """
    current = _Phase(name)
    _under_way.append(current)
    current.show()
    is_done = False
    try:
        yield
        is_done = True
    finally:
        _under_way.remove(current)
        current.end(is_done)


def say_where(where: str) -> None:
    """Say on a terminal how far the part under way is, if there is one."""
    if _under_way:
        _under_way[-1].show(where)
