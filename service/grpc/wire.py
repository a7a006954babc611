"""What is done with messages before and after protobuf: limits, and tensors without a copy.

protobuf makes up to 50 bytes of memory of one byte of a message, and copies every byte field twice.
So a large message is first looked through on its upper levels, where nothing real has many fields,
and its raw tensors are taken out; what is left is parsed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedBodyError, TooLargeError
from service.inflight import Reading
from service.open_inference import to_bytes

# Smaller ones are parsed as they are: they come to 3 MB at worst, for a moment.
SMALL_BYTES = 2**16

# On one level of a message; a request may have 16 inputs, and 64 parameters.
MAX_FIELDS = 256
# Of a shape, which may have 32 sides.
MAX_SHAPE_BYTES = 1024

# Of memory that protobuf takes for a byte of typed contents: an empty text, a one as INT64.
CONTENTS_RATIO = 16

# Kinds of a field on the wire.
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5

# Fields of ModelInferRequest, and of its inputs.
INPUTS, OUTPUTS, RAW_INPUT_CONTENTS = 5, 6, 7
SHAPE, CONTENTS = 3, 5
# Of ModelInferResponse, and of ModelStreamInferResponse, as they stand before their bytes.
RAW_OUTPUT_CONTENTS_KEY = bytes([6 << 3 | BYTES])
INFER_RESPONSE_KEY = bytes([2 << 3 | BYTES])


class WireField(NamedTuple):
    """A field of a message.

    Args:
        number: its own.
        whole: its bytes, the key first.
        content: of a field of bytes; empty of others.
    """

    number: int
    whole: memoryview
    content: memoryview


def without_raw_contents(message: bytes, reading: Reading) -> tuple[bytes, list[memoryview]]:
    """A ModelInferRequest without its raw tensors, and these.

    Args:
        message: large.
        reading: limits; the memory that protobuf takes for the rest is charged.

    Raises:
        MalformedBodyError: no message, or one of more fields than there are.
        TooLargeError, MemoryFullError: more than the limits allow.
    """
    rest, raw = [], []
    for field in _fields(memoryview(message)):
        if field.number == RAW_INPUT_CONTENTS:
            raw.append(field.content)
            continue
        rest.append(field.whole)
        if field.number in (INPUTS, OUTPUTS):
            _check_tensor(field.content, reading)
    return b"".join(rest), raw


def response(head: bytes, outputs: list[NDArray[Any]]) -> bytes:
    """A ModelInferResponse: what stands before its raw tensors, and these."""
    parts: list[Any] = [head]
    for values in outputs:
        if values.dtype.kind in "UT":
            content: Any = to_bytes(values)
            size = len(content)
        else:
            content = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
            size = content.nbytes
        parts += [RAW_OUTPUT_CONTENTS_KEY, _varint(size), content.data if size else b""]
    return b"".join(parts)


def stream_response(message: bytes) -> bytes:
    """A ModelStreamInferResponse around a ModelInferResponse."""
    return b"".join([INFER_RESPONSE_KEY, _varint(len(message)), message])


def _check_tensor(tensor: memoryview, reading: Reading) -> None:
    for field in _fields(tensor):
        size = len(field.content)
        if field.number == SHAPE and size > MAX_SHAPE_BYTES:
            raise MalformedBodyError("the shape of an input has more sides than there are")
        if field.number == CONTENTS:
            if size > reading.limits.json_bytes:
                raise TooLargeError(
                    f"typed contents may have {reading.limits.json_bytes} bytes, these have "
                    f"{size}: raw_input_contents hold more"
                )
            reading.share.charge(CONTENTS_RATIO * size)


def _fields(message: memoryview) -> Iterator[WireField]:
    place = count = 0
    while place < len(message):
        count += 1
        if count > MAX_FIELDS:
            raise MalformedBodyError(
                f"the message has more than {MAX_FIELDS} fields on one level, more than any request"
            )
        key, after = _read_varint(message, place)
        kind, begin = key & 7, after
        if kind == BYTES:
            size, begin = _read_varint(message, after)
            end = begin + size
        elif kind == VARINT:
            _, end = _read_varint(message, after)
        elif kind in (FIXED_32, FIXED_64):
            end = after + (4 if kind == FIXED_32 else 8)
        else:
            raise MalformedBodyError(f"the message is not protobuf: field of kind {kind}")
        if end > len(message):
            raise MalformedBodyError("the message is not protobuf: it ends within a field")
        content = message[begin:end] if kind == BYTES else message[:0]
        yield WireField(key >> 3, message[place:end], content)
        place = end


def _read_varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise MalformedBodyError("the message is not protobuf: a number without an end")


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
