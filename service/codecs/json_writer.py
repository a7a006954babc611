"""JSON with arrays in it, a piece at a time.

The interpreter does nothing else while a piece is made, in whatever thread that is: millions of
numbers in one go would keep everybody waiting for seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.tables import Column, to_values
from service.types import Float64

# Numbers that are written in one go, which takes a millisecond.
PIECE_NUMBERS = 2**15
# Values of records, likewise.
PIECE_VALUES = 2**11
# Bytes of a piece, at least, but for the last: handing it over takes longer than to make a few.
MIN_PIECE_BYTES = 2**16


class Records:
    """Rows of typed columns, which are written as objects.

    Args:
        rows: N × D.
        columns: their names and kinds.
    """

    def __init__(self, rows: Float64, columns: Sequence[Column]) -> None:
        self.rows = rows
        self.columns = columns

    def dicts(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Some rows, as values by name."""
        values = to_values(self.rows[start:stop], self.columns)
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def all_records(content: Any) -> list[dict[str, Any]]:
    """What orjson does not know how to write.

    Raises:
        TypeError: it is no `Records`.
    """
    if not isinstance(content, Records):
        raise TypeError
    return content.dicts(0, len(content.rows))


def json_pieces(content: Any) -> Iterator[bytes]:
    """JSON, some bytes at a time: the same as all at once.

    Args:
        content: arrays, alone or in objects and lists.
    """
    parts, size = list[bytes](), 0
    for part in _parts(content):
        parts.append(part)
        size += len(part)
        if size >= MIN_PIECE_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def _parts(content: Any) -> Iterator[bytes]:
    if isinstance(content, np.ndarray):
        yield from _array_parts(content)
    elif isinstance(content, Records):
        yield from _record_parts(content)
    elif isinstance(content, Mapping) and content:
        before = b"{"
        for key, value in content.items():
            yield before + orjson.dumps(key) + b":"
            yield from _parts(value)
            before = b","
        yield b"}"
    elif isinstance(content, list | tuple) and content:
        before = b"["
        for value in content:
            yield before
            yield from _parts(value)
            before = b","
        yield b"]"
    else:
        yield orjson.dumps(content)


def _record_parts(records: Records) -> Iterator[bytes]:
    at_once, rows = max(1, PIECE_VALUES // len(records.columns)), len(records.rows)
    before = b"["
    for start in range(0, rows, at_once):
        yield before + orjson.dumps(records.dicts(start, start + at_once))[1:-1]
        before = b","
    yield b"]" if rows else b"[]"


def _array_parts(array: NDArray[Any]) -> Iterator[bytes]:
    if array.size <= PIECE_NUMBERS:
        yield _dumped(array)
        return
    before, at_once = b"[", PIECE_NUMBERS // max(1, array[0].size)
    for start in range(0, len(array), max(1, at_once)):
        yield before
        if at_once:
            yield _dumped(array[start : start + at_once])[1:-1]
        else:
            yield from _array_parts(array[start])
        before = b","
    yield b"]"


def _dumped(array: NDArray[Any]) -> bytes:
    return orjson.dumps(writable(array), option=orjson.OPT_SERIALIZE_NUMPY)


def writable(array: NDArray[Any]) -> NDArray[Any] | list[Any]:
    """An array as orjson takes it."""
    if array.dtype.kind in "UT":
        texts: list[Any] = array.tolist()
        return texts
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array)
