"""The log of a server: every line of it passes here, whoever writes it.

A caller must not be able to fill a disk, to hide a line among a million, or to forge one. Of
records of one kind the first is written and the rest are counted, until some time has passed. What
callers and files are named by is written without its control characters, so that one record is one
line; a traceback, which only a mistake of the server's own makes, follows its record indented.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

# Kinds that are told apart at a time; more of them are one kind a level, named "other".
MAX_KINDS = 256

# Characters of a line, and of a traceback, of which the end is what tells.
MAX_LINE = 4096
MAX_TRACEBACK = 16_384

Kind = tuple[Any, ...]


class BrokenOffError(Exception):
    """An answer that ends before its end, which has been counted and said where it happened.

    It leaves the application, so that whatever server it runs in breaks the connection. Servers log
    whatever leaves an application; this is not written a second time.
    """


@dataclass
class _Seen:
    """Records of one kind.

    Args:
        written: when one was last written, in seconds.
        level: of them.
        text: of the last that was not written.
        counted: how many were not, since then.
    """

    written: float
    level: int
    text: str = ""
    counted: int = 0


class Log(logging.StreamHandler[TextIO]):
    """Writes records to a stream: one of a kind in a while, and how many there were besides.

    The kind of a record is what it was logged with as `extra={"kind": …}`; else, of an exception,
    its type and where it was raised; else the logger, the level, the text before its arguments are
    put in, and the first of these.

    Args:
        seconds: between two lines of one kind; 0 writes all.
        stream: to write to.
        clock: seconds.
    """

    def __init__(
        self,
        seconds: float,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream or sys.stderr)
        self.setFormatter(_OneLine())
        self.observe: Callable[[str, bool], None] = _nothing
        """Told of each record: its level, and whether it was written."""
        self._seconds = seconds
        self._clock = clock
        self._kinds: dict[Kind, _Seen] = {}
        self._guard = threading.Lock()

    def install(self) -> None:
        """Take the place of every handler that writes logs and warnings of this process."""
        logging.basicConfig(level=logging.INFO, handlers=[self], force=True)
        for name in list(logging.root.manager.loggerDict):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
        logging.captureWarnings(True)

    def name_process(self, name: str) -> None:
        """Begin every line with the name of this process, one of several that write here."""
        self.setFormatter(_OneLine(f"{name}: "))

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be written; a count of those before it is put behind its text."""
        if record.exc_info and isinstance(record.exc_info[1], BrokenOffError):
            return False
        try:
            is_written = self._seconds == 0 or self._is_due(record)
        except Exception:  # a record whose arguments do not fit its text
            self.handleError(record)
            return False
        self.observe(record.levelname, is_written)
        return is_written

    def say_counts(self, *, at_end: bool = False) -> None:
        """Write how many records were counted of each kind whose time has passed.

        Args:
            at_end: whether to write the others as well.
        """
        now = self._clock()
        with self._guard:
            due = {k: s for k, s in self._kinds.items() if at_end or self._has_passed(s, now)}
            for kind in due:
                del self._kinds[kind]
        for seen in due.values():
            if seen.counted:
                name, text = logging.getLevelName(seen.level), f"{seen.text}{_more(seen, now)}"
                self.emit(logging.makeLogRecord({"levelname": name, "msg": text}))

    def _is_due(self, record: logging.LogRecord) -> bool:
        now, kind = self._clock(), _kind(record)
        with self._guard:
            seen = self._kinds.get(kind)
            if seen is None and len(self._kinds) >= MAX_KINDS:
                kind = (record.levelno, "other")
                seen = self._kinds.get(kind)
            if seen is None:
                self._kinds[kind] = _Seen(now, record.levelno)
                return True
            if not self._has_passed(seen, now):
                seen.counted += 1
                # its text costs more than the rest, and is the same again and again
                seen.text = seen.text or escaped(record.getMessage())
                return False
            if seen.counted:
                record.msg, record.args = f"{record.getMessage()}{_more(seen, now)}", None
            self._kinds[kind] = _Seen(now, record.levelno)
            return True

    def _has_passed(self, seen: _Seen, now: float) -> bool:
        return now >= seen.written + self._seconds


def _nothing(_: str, __: bool) -> None:
    pass


class _OneLine(logging.Formatter):
    """One line a record, and an indented one for each of a traceback.

    Args:
        process: what its text begins with.
    """

    def __init__(self, process: str = "") -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record: no line but its first can be taken for one of the log."""
        head = f"{self.formatTime(record)} {record.levelname} {self._process}"
        lines = [head + escaped(record.getMessage())]
        if record.exc_info:
            text = self.formatException(record.exc_info)[-MAX_TRACEBACK:]
            lines += [f"    {escaped(line)}" for line in text.split("\n")]
        return "\n".join(lines)


def escaped(text: str) -> str:
    """A text in one line: what is not printable, line breaks among it, is written as Python would.

    Directions of writing, which can turn a line around, are not printable either.
    """
    text = text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _kind(record: logging.LogRecord) -> Kind:
    """What is the same of records that say the same."""
    if (kind := getattr(record, "kind", None)) is not None:
        return (record.name, kind)
    if record.exc_info and record.exc_info[1] is not None:
        return (record.name, *place(record.exc_info[1]))
    first = record.args[0] if isinstance(record.args, tuple) and record.args else ""
    return (record.name, record.levelno, str(record.msg)[:MAX_LINE], str(first)[:MAX_LINE])


def place(error: BaseException) -> tuple[str, str, int]:
    """The type of an error, and the file and line where it was raised."""
    file, line = "", 0
    traceback = error.__traceback__
    while traceback is not None:
        file, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return type(error).__qualname__, file, line


def _more(seen: _Seen, now: float) -> str:
    return f" ({seen.counted} more like this in {max(1, round(now - seen.written))} s)"
