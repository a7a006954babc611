"""Tensors of the Open Inference Protocol, from JSON and from bytes.

Bytes are little-endian, row-major, without padding; a text is a length of four bytes and UTF-8.
"""

import struct
from collections.abc import Iterator
from math import prod
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from service.codecs import MIN_CHARGED_BYTES, converted_bytes
from service.errors import MalformedBodyError, TooLargeError
from service.inflight import Reading
from service.operations import described_value, first_mismatch, flatten_lists, pack_numbers

TEXT = "BYTES"
DTYPES: dict[str, np.dtype[Any]] = {
    **{f"INT{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"UINT{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
    # of any length each: in an array of fixed width one long text would make all of them long
    TEXT: np.dtypes.StringDType(),
}

# Of answers alone: no input of a flow is boolean.
BOOL = "BOOL"
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}

# Far beyond any use: what is checked one by one must not be without end.
MAX_PARAMETERS = 64
MAX_DIMENSIONS = 32
# Longer than any name here, shorter than a text whose repetition in an error costs anything.
MAX_NAME = 1024

# Numbers of a piece of a large answer, which are copied in a fraction of a millisecond.
PIECE_NUMBERS = 2**18
# Of what Python holds for a text, and for each of its bytes where a character beyond ASCII makes
# all of its text's characters wide.
BYTES_PER_TEXT = 80
BYTES_PER_BYTE = 5

# By the first letter of a datatype: what its values are in JSON.
KINDS: dict[str, tuple[type, ...]] = {"F": (int, float), "I": (int,), "U": (int,), "B": (str,)}


def _scalars(value: Any) -> dict[str, str | int | float | bool]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"expected an object; this is {described_value(value)}")
    if len(value) > MAX_PARAMETERS:
        raise ValueError(f"expected at most {MAX_PARAMETERS}; these are {len(value)}")
    for key, scalar in value.items():
        if not isinstance(scalar, str | int | float | None):
            raise ValueError(
                f"{key:.40} is {described_value(scalar)}, expected a string, a number, true or "
                "false"
            )
    if None in value.values():  # as if it were left out
        return {key: scalar for key, scalar in value.items() if scalar is not None}
    return value


def _known(datatype: Any) -> str:
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise ValueError(
            f"expected one of {', '.join(DTYPES)}; this is {described_value(datatype)}"
        )
    return datatype


Parameters = Annotated[dict[str, str | int | float | bool], PlainValidator(_scalars)]
Name = Annotated[str, Field(max_length=MAX_NAME)]
Side = Annotated[int, Field(ge=0, lt=2**63)]


class RawTensor(NamedTuple):
    """A tensor of a request as its bytes.

    Args:
        name, datatype, shape: what is said of it.
        data: its bytes.
    """

    name: str
    datatype: str
    shape: list[int]
    data: memoryview


class NamedTensor(BaseModel):
    """A tensor as far as inputs and outputs agree; other keys are for other servers."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: Name
    parameters: Parameters = Field(default_factory=dict)  # pydantic copies a {} slowly


class Input(NamedTensor):
    """A tensor of a request."""

    shape: Annotated[list[Side], Field(max_length=MAX_DIMENSIONS)]
    datatype: Annotated[str, PlainValidator(_known)]
    data: Any = None  # a list, seen to without a look at each value by itself


def from_json(tensor: Input, may_hold_booleans: bool) -> NDArray[Any]:
    """The data of a tensor, flat or nested as its shape says, as an array.

    Args:
        tensor: with data.
        may_hold_booleans: whether true or false may be among it; it is quicker where not.

    Raises:
        MalformedBodyError: data that is not of the shape or not of the datatype; says where.
    """
    data = tensor.data
    if not isinstance(data, list):
        raise _wrong(tensor, f"expected data as an array; this is {described_value(data)}")
    kinds = KINDS[tensor.datatype[0]]
    rectangle = flatten_lists(data)
    if rectangle is None:
        raise _wrong(tensor, first_mismatch(data, kinds) or "its data is nested too deeply")
    shape, flat = rectangle
    if len(shape) > 1 and list(shape) != tensor.shape:
        raise _wrong(tensor, f"its shape is {tensor.shape}, its data is nested as {list(shape)}")
    _check_count(tensor, len(flat))
    try:
        values = _typed(tensor.datatype, flat, may_hold_booleans)
    except (struct.error, TypeError, OverflowError):
        wrong = first_mismatch(data, kinds) or "a value is out of range"
        raise _wrong(tensor, f"expected {tensor.datatype}; {wrong}") from None
    return _shaped(tensor, values)


def from_binary(tensor: Input | RawTensor, data: memoryview, reading: Reading) -> NDArray[Any]:
    """The bytes of a tensor as an array.

    Args:
        tensor: what it says of them.
        data: its bytes.
        reading: limits.

    Raises:
        MalformedBodyError: they are not as many as its shape says, or not texts.
        TooLargeError, MemoryFullError: more than the limits allow.
    """
    if tensor.datatype == TEXT:
        texts = _texts(tensor, data, reading)
        _check_count(tensor, len(texts))
        return _shaped(tensor, np.array(texts, DTYPES[TEXT]))
    dtype, expected = DTYPES[tensor.datatype], tensor_bytes(tensor.datatype, tensor.shape)
    if len(data) != expected:
        raise _wrong(
            tensor,
            f"{tensor.datatype} of shape {tensor.shape} are {expected} bytes, {len(data)} came",
        )
    values = np.frombuffer(data, dtype)
    if len(data) > MIN_CHARGED_BYTES:
        reading.share.charge(converted_bytes(values) + (0 if values.flags.aligned else len(data)))
    # behind JSON of any length, numbers begin anywhere
    return _shaped(tensor, values if values.flags.aligned else values.copy())


def tensor_bytes(datatype: str, shape: list[int]) -> int:
    """Bytes of a tensor of numbers; −1, any number of rows, is one."""
    return abs(prod(shape)) * DTYPES[datatype].itemsize


def datatype(values: NDArray[Any]) -> str:
    """The protocol's name of what an array of an answer holds."""
    if values.dtype.kind in "UT":
        return TEXT
    if values.dtype.kind == "b":
        return BOOL
    return DATATYPES.get(values.dtype) or DATATYPES[values.dtype.newbyteorder("<")]


def to_bytes(values: NDArray[Any]) -> bytes:
    """The bytes of an array of an answer."""
    if values.dtype.kind in "UT":
        texts = [text.encode() for text in values.ravel().tolist()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.asarray(values, values.dtype.newbyteorder("<")).tobytes()


def byte_count(values: NDArray[Any]) -> int:
    """How many bytes `to_bytes` makes."""
    return len(to_bytes(values)) if values.dtype.kind in "UT" else values.nbytes


def byte_pieces(values: NDArray[Any]) -> Iterator[bytes]:
    """The same bytes, some at a time."""
    if values.dtype.kind in "UT":
        yield to_bytes(values)
        return
    flat = np.asarray(values, order="C").ravel()
    for start in range(0, flat.size, PIECE_NUMBERS):
        yield to_bytes(flat[start : start + PIECE_NUMBERS])


def to_json(values: NDArray[Any]) -> NDArray[Any] | list[Any]:
    """The values of an array of an answer, row-major, as orjson takes them.

    Infinities become the number of their type that is nearest to them: null, which other servers
    write, is read as NaN by tritonclient, and NaN is smaller than nothing.
    """
    flat = np.asarray(values, order="C").ravel()
    if flat.dtype.kind in "UT":
        texts: list[Any] = flat.tolist()
        return texts
    if flat.dtype.kind == "f" and np.count_nonzero(np.isinf(flat)):
        ends = np.finfo(flat.dtype)
        flat = flat.clip(ends.min, ends.max)
    return flat if flat.dtype.isnative else flat.astype(flat.dtype.newbyteorder("="))


def _typed(datatype: str, flat: list[Any], may_hold_booleans: bool) -> NDArray[Any]:
    """Values of JSON as an array; what `pack_numbers` raises, or a TypeError, where they are not.

    It runs for every number of every request, so that whatever loops over them here is C.
    """
    allowed = KINDS[datatype[0]]
    if (datatype == TEXT or may_hold_booleans) and not set(map(type, flat)) <= {*allowed}:
        raise TypeError
    dtype = DTYPES[datatype]
    return np.array(flat, dtype) if datatype == TEXT else pack_numbers(flat, dtype)


def _texts(tensor: Input | RawTensor, data: memoryview, reading: Reading) -> list[str]:
    count, limit = prod(tensor.shape), reading.limits.json_values
    if count > limit:
        raise TooLargeError(f"a request may have {limit} texts, {tensor.name!r:.80} has {count}")
    reading.share.charge(BYTES_PER_TEXT * min(count, len(data)) + BYTES_PER_BYTE * len(data))
    texts: list[str] = []
    place = 0
    try:
        # no more than the shape says: lengths of 0 are texts too
        while place < len(data) and len(texts) <= count:
            (length,) = struct.unpack_from("<I", data, place)
            place += 4
            if place + length > len(data):
                raise ValueError(f"a text of {length} bytes, where {len(data) - place} are left")
            texts.append(str(data[place : place + length], "utf-8"))
            place += length
    except (struct.error, ValueError) as error:
        raise _wrong(tensor, f"expected lengths of 4 bytes, each with UTF-8: {error}") from None
    return texts


def _check_count(tensor: Input | RawTensor, count: int) -> None:
    if count != prod(tensor.shape):
        raise _wrong(
            tensor, f"shape {tensor.shape} holds {prod(tensor.shape)} values, {count} came"
        )


def _shaped(tensor: Input | RawTensor, values: NDArray[Any]) -> NDArray[Any]:
    try:
        return values.reshape(tensor.shape)
    except ValueError as error:  # nothing, with sides that memory has no addresses for
        raise _wrong(tensor, f"shape {tensor.shape}: {error}") from None


def _wrong(tensor: Input | RawTensor, what: str) -> MalformedBodyError:
    return MalformedBodyError(f"input {tensor.name!r:.80}: {what}")
