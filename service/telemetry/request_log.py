"""A line of JSON for each request, written by a thread that nothing waits for."""

import logging
import os
import select
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import orjson

from service.metrics import STAGES
from service.telemetry.request import RequestRecord

log = logging.getLogger(__name__)

# Lines that wait for whoever reads them; beyond, the newest are dropped. Some 15,000 requests.
MAX_WAITING_BYTES = 4 * 2**20

# Lines are gathered for so long: to wake a thread for each would take longer than its request.
GATHER_SECONDS = 0.1

# How long the end of the server waits for a reader of the last lines.
CLOSE_SECONDS = 2.0

# Of a path, which may have 64 KiB.
MAX_PATH = 512

LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
DURATIONS = tuple(f"{stage}_us" for stage in STAGES)


class RequestLog:
    """Writes lines to a file descriptor, and drops them where nobody takes them fast enough.

    A line holds nothing of a query string, of a body or of a header but the request's id.

    Args:
        descriptor: of a file, pipe or terminal.
        counted: told of lines, by how many and whether they were written.
        is_shared: whether other processes write there too: a pipe takes so many bytes of one, and
            then of another.
    """

    def __init__(
        self, descriptor: int, counted: Callable[[int, bool], None], is_shared: bool = False
    ) -> None:
        self._descriptor = descriptor
        self._counted = counted
        self._at_once = select.PIPE_BUF if is_shared else MAX_WAITING_BYTES
        self._lines: list[bytes] = []
        self._held = 0  # bytes, of lines that are being written too
        self._lock = threading.Lock()
        self._has_lines = threading.Event()
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def write(self, record: RequestRecord, seconds: float) -> None:
        """Have a line written of a request that took so many seconds."""
        line = line_of(record, seconds)
        with self._lock:
            has_room = self._held + len(line) <= MAX_WAITING_BYTES
            if has_room:
                self._lines.append(line)
                self._held += len(line)
        if not has_room:
            self._counted(1, False)
        elif not self._has_lines.is_set():
            self._has_lines.set()

    def close(self) -> None:
        """Write what waits, for a while; what nobody has taken by then is dropped."""
        self._is_closing.set()
        self._has_lines.set()
        self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while not self._is_closing.is_set():
            self._has_lines.wait()
            self._is_closing.wait(GATHER_SECONDS)
            self._has_lines.clear()
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
        content, is_written = b"".join(lines), True
        try:
            start = 0
            while start < len(content):
                end = content.rfind(b"\n", start, start + self._at_once) + 1
                self._write_all(memoryview(content)[start : end or len(content)])
                start = end or len(content)
        except OSError as error:
            is_written = False
            log.error("request log: lines are lost: %s", error.strerror)
        with self._lock:
            self._held -= len(content)
        self._counted(len(lines), is_written)

    def _write_all(self, content: memoryview) -> None:
        while content:
            try:
                content = content[os.write(self._descriptor, content) :]
            except BlockingIOError:  # whoever started the server may have made it so
                select.select([], [self._descriptor], [])


def line_of(record: RequestRecord, seconds: float) -> bytes:
    """The line of a request that took so many seconds."""
    path = record.path
    said = {
        "time": datetime.now(UTC),
        "request_id": record.id,
        "trace_id": record.trace_id,
        "method": record.method or None,
        "path": (path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}…") or None,
        "status": record.status or None,
        "reason": record.reason or None,
        "model": record.model,
        "version": record.version,
        "rows": record.rows,
        "key": record.key,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "total_us": int(1e6 * seconds),
    }
    for name, spent in zip(DURATIONS, record.seconds, strict=True):
        said[name] = int(1e6 * spent)
    try:
        return orjson.dumps(said, option=LINE)
    except TypeError:  # half a character of UTF-16, which some server made of a path
        return orjson.dumps({**said, "path": ascii(said["path"])}, option=LINE)
