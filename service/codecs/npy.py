"""Arrays in npy format, as bodies and answers (numpy's NEP 1)."""

import io
import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest
from service.codecs.base import NO_REMARKS, NPY_TYPE, AnswerStream, Codec, first_or_picked
from service.codecs.fields import (
    ArrayRequest,
    PendingRequest,
    R,
    rows_by_field,
    target,
    with_query,
)
from service.errors import (
    InvalidInputError,
    MalformedBodyError,
    NotAcceptableError,
    TooLargeError,
    cut,
    shown,
)
from service.inflight import Reading
from service.operations import TEXT, Answer
from service.types import Arrays

MAGIC = b"\x93NUMPY"
# Bytes of magic, version and length of the header, by version.
PREFIX_BYTES = {b"\x01\x00": 10, b"\x02\x00": 12}
# Beyond any shape and any dtype of numbers.
MAX_HEADER_BYTES = 2**12

# A header is a dictionary in Python's words, of these entries.
# ASCII: blanks that `int` takes too, which the separators U+001C to U+001F are not
DESCR = re.compile(r"""["']descr["']\s*:\s*["']([^"']*)["']""", re.ASCII)
ORDER = re.compile(r"""["']fortran_order["']\s*:\s*(True|False)""", re.ASCII)
SHAPE = re.compile(
    r"""["']shape["']\s*:\s*\(((?:\s*\d{1,19}\s*,)*\s*(?:\d{1,19}\s*)?)\)""", re.ASCII
)
NO_MORE = re.compile(r"\s*\{[\s,]*\}\s*", re.ASCII)
STRUCTURED = re.compile(r"""["']descr["']\s*:\s*\[""", re.ASCII)

NUMBERS = re.compile(r"[<>|=]?(?:[iu][1248]|f[248])")
TEXTS = re.compile(r"[<>=]?U[1-9]\d{0,8}")
DTYPE_NAMES = {"b": "bool", "S": "bytes", "a": "bytes", "V": "void", "?": "bool"}

COMPLEX = {"c8": "complex64", "16": "complex128"}

# Fewer bytes are not worth charging for what they are converted to.
MIN_CHARGED_BYTES = 2**16

# Text has one width in npy, so that one long text makes all of them long.
MAX_TEXT_BYTES = 2**26


class NpyCodec(Codec):
    """npy: one array in the body, the other fields in the query string; one array in the answer."""

    media_type = NPY_TYPE
    has_reasons = False
    body_types = (NPY_TYPE,)

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> R | PendingRequest:
        """A request whose rows are the body's array."""
        array = read_array(body, may_be_text=schema.npy_fields == ("context",))
        if array.dtype.kind == "U":
            array = _texts(array, reading)
        elif array.nbytes > MIN_CHARGED_BYTES:
            reading.share.charge(converted_bytes(array) * (2 if reading.has_tables else 1))
        if reading.has_tables:
            return ArrayRequest(schema, array, query, *target(query))
        return with_query(schema, rows_by_field(schema, array), query)

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """The question's own array, or the one picked."""
        return write_array(first_or_picked(answer.arrays, output))

    def stream(
        self, manifest: AnyManifest, output: str | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> AnswerStream | None:
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


def read_array(body: bytes, *, may_be_text: bool = False) -> NDArray[np.generic]:
    """An array of numbers in npy format; nothing is ever unpickled, and no value is looked at.

    Args:
        body: all of it.
        may_be_text: whether it may be of text instead.

    Raises:
        MalformedBodyError: the body is not one whole npy array.
        InvalidInputError: its values are no numbers.
    """
    prefix = PREFIX_BYTES.get(body[6:8])
    if not body.startswith(MAGIC) or prefix is None:
        raise MalformedBodyError("the body is not an npy array: it does not begin like one")
    start = prefix + int.from_bytes(body[8:prefix], "little")
    if start > MAX_HEADER_BYTES:
        raise MalformedBodyError(
            f"the body is not an npy array of numbers: its header is of {start} bytes"
        )
    descr, order, shape = _layout(body[prefix:start])
    dtype = _dtype(descr, may_be_text)
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
def _layout(header: bytes) -> tuple[str, Literal["C", "F"], tuple[int, ...]]:
    """What a header says: dtype as numpy writes it, order and shape.

    It is read here and not by numpy, which evaluates it as Python: `(True, 2)` is a shape there,
    and what Python 2 has written a warning in the log.
    """
    text = header.decode("latin-1")
    if STRUCTURED.search(text):
        raise InvalidInputError("expected an array of numbers; its dtype is structured")
    descr, order, shape = (entry.search(text) for entry in (DESCR, ORDER, SHAPE))
    rest = SHAPE.sub("", ORDER.sub("", DESCR.sub("", text, 1), 1), 1)
    if descr is None or order is None or shape is None or not NO_MORE.fullmatch(rest):
        raise MalformedBodyError(
            "the body is not an npy array: expected a header of descr, fortran_order and a shape "
            f"of whole numbers, got {shown(text)}"
        )
    sides = tuple([int(side) for side in shape[1].split(",") if side.strip()])
    if math.prod(side or 1 for side in sides) >= 2**63:
        raise MalformedBodyError(f"the body is not an npy array: its shape is {shown(sides)}")
    return descr[1], "F" if order[1] == "True" else "C", sides


@lru_cache(256)
def _dtype(descr: str, may_be_text: bool) -> np.dtype[np.generic]:
    """The dtype of numbers, or of text where that is allowed.

    Raises:
        MalformedBodyError: the values would have to be unpickled.
        InvalidInputError: it is any other.
    """
    if NUMBERS.fullmatch(descr) or (may_be_text and TEXTS.fullmatch(descr)):
        return np.dtype(descr)
    kind = descr.lstrip("<>|=")[:1]
    if kind == "O":
        raise MalformedBodyError("the body is not an npy array of numbers: its dtype is object")
    if kind == "c" and descr[-2:] in COMPLEX:
        name = COMPLEX[descr[-2:]]
    else:
        name = DTYPE_NAMES.get(kind, cut(descr))
    raise InvalidInputError(f"expected an array of numbers; its dtype is {name}")


def converted_bytes(array: NDArray[Any]) -> int:
    """Bytes that an array of numbers takes beside its own as float32 that is seen to be finite."""
    is_float = array.dtype.kind == "f"
    is_single = array.dtype == np.float32 and array.flags.c_contiguous
    return array.size * ((0 if is_single else 4) + is_float)


def _texts(array: NDArray[Any], reading: Reading) -> NDArray[Any]:
    """Text of one width as text of any length each.

    Raises:
        TooLargeError: too many texts.
        MalformedBodyError: characters that are none.
    """
    if array.size > reading.limits.json_values:
        raise TooLargeError(
            f"a request may have {reading.limits.json_values} texts, this one has {array.size}"
        )
    reading.share.charge(2 * array.nbytes)
    flat = np.ascontiguousarray(array)
    points = flat.view(array.dtype.str[0] + "u4").ravel() if array.size else np.empty(0, "u4")
    if (points > sys.maxunicode).any() or ((points >= 0xD800) & (points < 0xE000)).any():
        raise MalformedBodyError("the body is not an npy array: a text has an invalid code point")
    # numpy 2.4 takes the characters of the other byte order for invalid ones
    return flat.astype(flat.dtype.newbyteorder("="), copy=False).astype(TEXT)
