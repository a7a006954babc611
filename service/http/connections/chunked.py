"""Bodies that come in chunks (RFC 9112, section 7.1), with limits on their framing."""

import re

from service.errors import HeadTooLargeError, MalformedBodyError
from service.http.connections.limits import (
    FREE_CHUNKS,
    MAX_CHUNK_LINE_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MIN_CHUNK_BYTES,
)

PLAIN_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
# More digits than a body can have bytes.
MAX_SIZE_DIGITS = 16


class ChunkedBody:
    """Reads one chunked body as it arrives; trailers are checked for their size and dropped.

    The parser of heads is not asked: it takes a callback for each chunk, cannot stop where the
    body ends, and hands trailers over as if they were headers.
    """

    __slots__ = ("_bytes", "_chunks", "_fields", "_in_trailers", "_left", "_line", "_line_bytes")

    def __init__(self) -> None:
        self._left = 0  # of the chunk at hand, with the line break behind it
        self._line = b""  # the beginning of a line that is not whole
        self._line_bytes = 0  # of all trailers
        self._fields = 0
        self._in_trailers = False
        self._chunks = 0
        self._bytes = 0

    def take(self, data: bytes, at: int, parts: list[bytes]) -> tuple[int, bool]:
        """Read on.

        Args:
            data: what has arrived.
            at: where the body goes on in it.
            parts: what the body holds is appended to them.

        Returns:
            Where the next byte to read is, and whether the body is complete.

        Raises:
            MalformedBodyError: no chunk is here, or chunks are too small.
            HeadTooLargeError: too many trailers.
        """
        end = len(data)
        while at < end:
            if self._left:
                at = self._take_chunk(data, at, parts)
                continue
            if not self._line and not self._in_trailers:
                # a chunk that has come whole, as most do
                found = PLAIN_SIZE.match(data, at)
                if found is not None:
                    begin = found.end()
                    stop = begin + int(found[1], 16)
                    if stop > begin and data[stop : stop + 2] == b"\r\n":
                        self._count(stop - begin)
                        parts.append(data[begin:stop])
                        at = stop + 2
                        continue
            stop = data.find(b"\n", at)
            if stop < 0:
                self._begin_line(data[at:])
                return end, False
            line = self._line + data[at : stop + 1]
            self._line = b""
            at = stop + 1
            if self._in_trailers:
                if self._take_trailer(line):
                    return at, True
            else:
                self._take_size(line)
        return at, False

    def _take_chunk(self, data: bytes, at: int, parts: list[bytes]) -> int:
        """Read what there is of a chunk and of the line break behind it."""
        inside = self._left - 2
        if inside > 0:
            part = data[at : at + inside]
            parts.append(part)
            self._left -= len(part)
            return at + len(part)
        if data[at] != b"\r\n"[-self._left]:
            raise MalformedBodyError("a chunk of the body does not end where its size says")
        self._left -= 1
        return at + 1

    def _begin_line(self, part: bytes) -> None:
        self._line += part
        limit = MAX_HEAD_BYTES - self._line_bytes if self._in_trailers else MAX_CHUNK_LINE_BYTES
        if len(self._line) > limit:
            self._refuse_line()

    def _take_size(self, line: bytes) -> None:
        """Read the line that begins a chunk."""
        if len(line) > MAX_CHUNK_LINE_BYTES:
            self._refuse_line()
        digits = line[:-2].partition(b";")[0].rstrip(b" \t")
        if (
            line[-2:] != b"\r\n"
            or not 0 < len(digits) <= MAX_SIZE_DIGITS
            or not HEX_DIGITS.issuperset(digits)
            or b"\r" in line[:-2]
        ):
            raise MalformedBodyError("a chunk of the body does not begin with its size")
        size = int(digits, 16)
        if size == 0:
            self._in_trailers = True
            return
        self._left = size + 2
        self._count(size)

    def _count(self, size: int) -> None:
        """Count a chunk of so many bytes."""
        self._chunks += 1
        self._bytes += size
        if self._chunks > FREE_CHUNKS and self._bytes < MIN_CHUNK_BYTES * self._chunks:
            raise MalformedBodyError(
                f"a body may have {FREE_CHUNKS} small chunks; beyond them they must hold "
                f"{MIN_CHUNK_BYTES} bytes each on average: send larger ones"
            )

    def _take_trailer(self, line: bytes) -> bool:
        """Read a trailer; returns whether it is the empty line at the end."""
        if line[-2:] != b"\r\n" or b"\r" in line[:-2] or b"\0" in line:
            raise MalformedBodyError("what follows the chunks of the body is no trailer")
        if len(line) == 2:
            return True
        self._fields += 1
        self._line_bytes += len(line)
        if self._fields > MAX_HEAD_FIELDS or self._line_bytes > MAX_HEAD_BYTES:
            self._refuse_line()
        return False

    def _refuse_line(self) -> None:
        if not self._in_trailers:
            raise MalformedBodyError("a chunk of the body does not begin with its size")
        raise HeadTooLargeError(
            f"the trailers of a request may have {MAX_HEAD_BYTES} bytes and "
            f"{MAX_HEAD_FIELDS} fields"
        )
