"""Arrays in npy format, as bodies and answers (numpy's NEP 1)."""

import io
import math
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedBodyError
from service.types import Float32

TYPE = "application/x-npy"

MAGIC = b"\x93NUMPY"
# Magic, version and length of the header, by version.
PREFIX = {b"\x01\x00": 10, b"\x02\x00": 12}


def parse(body: bytes) -> NDArray[np.generic]:
    """An array in npy format; nothing is ever unpickled.

    Raises:
        MalformedBodyError: the body is not one whole npy array.
    """
    prefix = PREFIX.get(body[6:8])
    if not body.startswith(MAGIC) or prefix is None:
        raise MalformedBodyError("the body is not an npy array: it does not begin like one")
    start = prefix + int.from_bytes(body[8:prefix], "little")
    dtype, order, shape = _layout(body[:start])
    expected, found = math.prod(shape) * dtype.itemsize, len(body) - start
    if found < expected:
        raise MalformedBodyError(
            f"the body is not an npy array: {shape} of {dtype} are {expected} bytes, {found} came"
        )
    if found > expected:
        raise MalformedBodyError(
            f"{found - expected} bytes follow the npy array: expected one array and no more"
        )
    try:
        return np.ndarray(shape, dtype, body, start, order=order)
    except ValueError as error:  # an array of nothing, with more sides than memory has addresses
        raise MalformedBodyError(f"the body is not an npy array: {error}") from None


def header(shape: tuple[int, ...]) -> bytes:
    """What stands before the float32 values of an array of this shape."""
    file = io.BytesIO()
    layout = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, layout)
    return file.getvalue()


def dump(array: Float32) -> bytes:
    """One array in npy format."""
    return _known_header(array.shape) + values(array)


def values(array: Float32) -> bytes:
    """The values of an array, which follow its header."""
    return array.astype("<f4", copy=False).tobytes()


_known_header = lru_cache(256)(header)


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
