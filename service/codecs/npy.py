"""Arrays in npy format, as bodies and answers (numpy's NEP 1)."""

import io
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.bundle import Manifest
from service.codecs.base import (
    NPY_TYPE,
    AnswerStream,
    Codec,
    R,
    first_or_picked,
    rows_by_field,
    with_query,
)
from service.errors import MalformedBodyError, NotAcceptableError
from service.operations import Answer
from service.types import Arrays

MAGIC = b"\x93NUMPY"
# Bytes of magic, version and length of the header, by version.
PREFIX_BYTES = {b"\x01\x00": 10, b"\x02\x00": 12}
# Text has one width in npy, so that one long text makes all of them long.
MAX_TEXT_BYTES = 2**26


class NpyCodec(Codec):
    """npy: one array in the body, the other fields in the query string; one array in the answer."""

    media_type = NPY_TYPE
    body_types = (NPY_TYPE,)

    def parse(self, schema: type[R], body: bytes, query: Mapping[str, str]) -> R:
        """A request whose rows are the body's array."""
        return with_query(schema, rows_by_field(schema, read_array(body)), query)

    def dump(self, manifest: Manifest, answer: Answer, output: str | None) -> bytes:
        """The question's own array, or the one picked."""
        return write_array(first_or_picked(answer.arrays, output))

    def stream(self, manifest: Manifest, output: str | None) -> AnswerStream | None:
        """A writer of one array of numbers."""
        return NpyStream(output)


class NpyStream(AnswerStream):
    """Writes one array of numbers a piece at a time.

    Args:
        output: the one array picked; None for the first.
    """

    def __init__(self, output: str | None) -> None:
        self._output = output
        self._header = b""

    def begin(self, first: Arrays, rows: int, seed: int | None) -> int | None:
        """Make the header; its array is as long as it says."""
        array = first_or_picked(first, self._output)
        if array.dtype.kind in "UT":
            raise NotAcceptableError(f"{NPY_TYPE} holds text of one width, of which pieces differ")
        row = array.shape[1:]
        self._header = _header(array.dtype.str, (rows, *row))
        return len(self._header) + rows * math.prod(row) * array.dtype.itemsize

    def piece(self, arrays: Arrays) -> bytes:
        """The values of the next rows, behind the header where they are the first."""
        header, self._header = self._header, b""
        return header + first_or_picked(arrays, self._output).tobytes()


def read_array(body: bytes) -> NDArray[np.generic]:
    """An array in npy format; nothing is ever unpickled.

    Raises:
        MalformedBodyError: the body is not one whole npy array.
    """
    prefix = PREFIX_BYTES.get(body[6:8])
    if not body.startswith(MAGIC) or prefix is None:
        raise MalformedBodyError("the body is not an npy array: it does not begin like one")
    start = prefix + int.from_bytes(body[8:prefix], "little")
    dtype, order, shape = _layout(body[:start])
    expected, received = math.prod(shape) * dtype.itemsize, len(body) - start
    if received < expected:
        raise MalformedBodyError(
            f"the body is not an npy array: {shape} of {dtype} are {expected} bytes, {received} "
            "came"
        )
    if received > expected:
        raise MalformedBodyError(
            f"{received - expected} bytes follow the npy array: expected one array and no more"
        )
    try:
        return np.ndarray(shape, dtype, body, start, order=order)
    except ValueError as error:  # an array of nothing, with more sides than memory has addresses
        raise MalformedBodyError(f"the body is not an npy array: {error}") from None


def write_array(array: NDArray[Any]) -> bytes:
    """One array of numbers, booleans or text in npy format; text gets the width of the longest.

    Raises:
        NotAcceptableError: text that would take more than `MAX_TEXT_BYTES`.
    """
    if array.dtype.kind == "T":
        longest = max(map(len, array.ravel().tolist()), default=0)
        if array.size * longest * 4 > MAX_TEXT_BYTES:
            raise NotAcceptableError(
                f"{NPY_TYPE} would hold each of {array.size} texts in the {longest} characters of "
                "the longest: ask for JSON or Arrow"
            )
        array = array.astype(f"U{max(longest, 1)}")
    return _header(array.dtype.str, array.shape) + array.tobytes()


@lru_cache(256)  # answers have the same few shapes again and again
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The bytes that precede the values of an array of this dtype (as `dtype.str`) and shape."""
    file = io.BytesIO()
    layout = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, layout)
    return file.getvalue()


@lru_cache(256)  # callers send the same few shapes again and again
def _layout(head: bytes) -> tuple[np.dtype[np.generic], Literal["C", "F"], tuple[int, ...]]:
    """What a header says: dtype, order and shape."""
    read = (
        np.lib.format.read_array_header_1_0
        if head[6:8] == b"\x01\x00"
        else np.lib.format.read_array_header_2_0
    )
    try:
        shape, is_fortran, dtype = read(io.BytesIO(head[8:]))
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"the body is not an npy array: {error}") from None
    if dtype.hasobject or dtype.itemsize == 0 or min(shape, default=1) < 0:
        raise MalformedBodyError(f"the body is not an npy array of numbers: {shape} of {dtype}")
    return dtype, "F" if is_fortran else "C", shape
