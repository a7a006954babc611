"""Compressed bodies: gzip of one or several members, and deflate with zlib's frame or without."""

import io
import zlib

from service.errors import MalformedBodyError, TooLargeError
from service.inflight import MemoryShare

ENCODINGS = ("gzip", "x-gzip", "deflate")
"""Values of `Content-Encoding` that are read."""

# As `wbits` of zlib.
GZIP, ZLIB, RAW_DEFLATE = 31, 15, -15

GZIP_MAGIC = b"\x1f\x8b"

# Rows of numbers, as JSON or binary, come to a tenth of their size at best; where all are the same,
# to a two hundredth. What is beyond this is made to cost memory. Small bodies may hold anything.
MAX_RATIO = 250
MIN_RATIO_BYTES = 2**20

# bgzip writes one for each 64 KiB.
MAX_MEMBERS = 4096

# Read and made at a time.
PIECE_BYTES = 2**16


class Decompression:
    """One body being decompressed, a piece at a time.

    Args:
        body: compressed.
        encoding: of `ENCODINGS`.
        limit: most bytes that it may hold.
        share: what the request holds; charged before each piece is made.

    Raises:
        MalformedBodyError: from `read`: it is not of this encoding, or not whole.
        TooLargeError: from `read`: it holds more than the limit, or than `MAX_RATIO` times its own.
        MemoryFullError: from `read`: more than the other requests leave.
    """

    def __init__(self, body: bytes, encoding: str, limit: int, share: MemoryShare) -> None:
        self._body = memoryview(body)
        self._encoding = encoding
        self._limit = limit
        self._most = min(limit, max(MIN_RATIO_BYTES, MAX_RATIO * len(body)))
        self._share = share
        self._wbits = GZIP if encoding != "deflate" else _deflate_frame(body)
        self._stream = zlib.decompressobj(self._wbits)
        self._members = 1
        self._place = 0
        self._pending = b""  # of a member that has begun
        self._content = io.BytesIO()
        self.size = 0
        """Bytes made so far."""

    def read(self, most: int | None = None) -> bool:
        """Go on until its end, or until so many bytes have been made; whether the end has come."""
        while not (self._stream.eof and self._is_end()):
            if most is not None and self.size >= most:
                return False
            source = self._stream.unconsumed_tail or self._pending or self._next_input()
            self._pending = b""
            made = self._make_piece(source)
            if not made and not source and not self._stream.eof:
                raise MalformedBodyError(
                    f"the body is not all of its {self._encoding} data: its end is missing"
                )
        return True

    def content(self) -> bytes:
        """What has been made."""
        return self._content.getvalue()

    def _next_input(self) -> bytes:
        piece = bytes(self._body[self._place : self._place + PIECE_BYTES])
        self._place += len(piece)
        return piece

    def _make_piece(self, source: bytes) -> int:
        """Decompress the next bytes; how many that came to."""
        self._share.charge(PIECE_BYTES)
        try:
            made = self._stream.decompress(source, PIECE_BYTES)
        except zlib.error as error:
            raise MalformedBodyError(f"the body is not {self._encoding} data: {error}") from None
        self._share.keep(self._share.held - PIECE_BYTES + len(made))
        self.size += len(made)
        if self.size > self._limit:
            raise TooLargeError(
                f"a request body may have {self._limit} bytes, this one has more when decompressed"
            )
        if self.size > self._most:
            raise TooLargeError(
                f"a request body may hold {MAX_RATIO} times its compressed bytes, this one of "
                f"{len(self._body)} holds more"
            )
        self._content.write(made)
        return len(made)

    def _is_end(self) -> bool:
        """Whether nothing follows a member that has ended; begins with the next one otherwise."""
        rest = self._stream.unused_data.lstrip(b"\0")  # tapes and block devices pad with zeros
        while len(rest) < len(GZIP_MAGIC) and (piece := self._next_input()):
            rest = (rest + piece).lstrip(b"\0")
        if not rest:
            return True
        if self._wbits != GZIP or not rest.startswith(GZIP_MAGIC):
            left = len(rest) + len(self._body) - self._place
            raise MalformedBodyError(f"{left} bytes follow the {self._encoding} data of the body")
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise TooLargeError(f"a gzip body may have {MAX_MEMBERS} members, this one has more")
        self._stream, self._pending = zlib.decompressobj(GZIP), rest
        return False


def _deflate_frame(body: bytes) -> int:
    """How a deflate body is framed: as RFC 9110 says, by zlib, or not at all, as many send it."""
    if not body:
        return ZLIB
    has_header = body[0] & 15 == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return ZLIB if has_header else RAW_DEFLATE
