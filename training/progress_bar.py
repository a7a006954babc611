"""Progress on stderr: a line that is written over on a terminal, lines of their own in a log."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

CURSOR_UP = "\x1b[A"


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
