"""Requests and answers of the Open Inference Protocol v2, with its binary tensor extension.

A body is JSON, or JSON of `Inference-Header-Content-Length` bytes with tensors behind it, back to
back in the order in which they are named: little-endian, row-major, without padding; text as a
length of four bytes and UTF-8 for each.
"""

import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.arrays import Arrays
from service.errors import MalformedBodyError, readable

HEADER = "inference-header-content-length"

DTYPES = {
    **{f"INT{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"UINT{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}

Parameters = dict[str, str | int | float | bool]
Size = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    parameters: Parameters = {}


class Input(_Part):
    """A tensor of a request."""

    shape: list[Size]
    datatype: Literal["BYTES", tuple(DTYPES)]  # type: ignore[valid-type]
    data: list[Any] | None = None


class Output(_Part):
    """An output that a request asks for."""


class Inference(BaseModel):
    """The JSON of a request."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str = ""
    parameters: Parameters = {}
    inputs: Annotated[list[Input], Field(min_length=1)]
    outputs: list[Output] = []


@dataclass(frozen=True)
class Request:
    """A request, read.

    Args:
        id: the caller's, given back.
        parameters: of the whole request.
        inputs: arrays by name.
        outputs: for each output asked for, whether it is to be binary; all where there is none.
        binary: whether outputs that are not named are to be binary.
    """

    id: str
    parameters: Parameters
    inputs: Arrays
    outputs: dict[str, bool] = field(default_factory=dict)
    binary: bool = False


def parse(body: bytes, header: str) -> Request:
    """Read a request.

    Args:
        body: all of it.
        header: the value of `Inference-Header-Content-Length`; empty where it is not there.

    Raises:
        MalformedBodyError: lengths that are not those of the body, or no request of the protocol.
    """
    length = len(body)
    if header:
        if not header.isascii() or not header.isdigit() or int(header) > length:
            raise MalformedBodyError(
                f"Inference-Header-Content-Length: expected 0 to {length}, got {header!r:.40}"
            )
        length = int(header)
    try:
        asked = Inference.model_validate(orjson.loads(memoryview(body)[:length]))
    except ValidationError as error:
        raise MalformedBodyError("; ".join(map(readable, error.errors()))) from None
    except ValueError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from None
    inputs: Arrays = {}
    for tensor in asked.inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            inputs[tensor.name] = _from_json(tensor)
            continue
        if tensor.data is not None:
            raise MalformedBodyError(f"input {tensor.name!r} has both data and binary_data_size")
        if not isinstance(size, int) or not 0 <= size <= len(body) - length:
            raise MalformedBodyError(
                f"input {tensor.name!r}: binary_data_size is {size}, and "
                f"{len(body) - length} bytes are left"
            )
        inputs[tensor.name] = _from_binary(tensor, memoryview(body)[length : length + size])
        length += size
    if length != len(body):
        raise MalformedBodyError(f"{len(body) - length} bytes belong to no input")
    binary = asked.parameters.get("binary_data_output") is True
    outputs = {o.name: o.parameters.get("binary_data", binary) is True for o in asked.outputs}
    return Request(asked.id, asked.parameters, inputs, outputs, binary)


def raw(body: bytes, inputs: list[dict[str, Any]]) -> Request:
    """Read a body that is nothing but the one input of a model, whose outputs are all binary.

    Args:
        body: the input's values, row for row.
        inputs: name, datatype and shape of each input of the model, −1 for any number of rows.

    Raises:
        MalformedBodyError: the model has several inputs, or the body is not of whole rows.
    """
    if len(inputs) > 1:
        names = ", ".join(described["name"] for described in inputs)
        raise MalformedBodyError(f"a raw body is one input, and this model has {names}")
    name, shape, dtype = inputs[0]["name"], inputs[0]["shape"], DTYPES[inputs[0]["datatype"]]
    row = abs(prod(shape)) * dtype.itemsize
    if len(body) == 0 or len(body) % row:
        raise MalformedBodyError(
            f"input {name!r}: expected a multiple of {row} bytes, {len(body)} came"
        )
    values = np.frombuffer(body, dtype).reshape(shape)
    return Request("", {}, {name: values}, binary=True)


def dump(head: Mapping[str, Any], outputs: Arrays, binary: Mapping[str, bool]) -> tuple[bytes, int]:
    """An answer, and how many of its bytes are JSON.

    Args:
        head: what stands before the outputs.
        outputs: float32 arrays by name.
        binary: which of them follow the JSON.
    """
    described, tail = [], []
    for name, values in outputs.items():
        values = np.ascontiguousarray(values, "<f4")
        output: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": values.shape}
        if binary[name]:
            output["parameters"] = {"binary_data_size": values.nbytes}
            tail.append(values.tobytes())
        else:
            output["data"] = values.ravel()
        described.append(output)
    text = orjson.dumps({**head, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *tail]), len(text)


def _from_json(tensor: Input) -> NDArray[Any]:
    """Nested or flat data as an array of the shape and type stated."""
    if tensor.data is None:
        raise MalformedBodyError(f"input {tensor.name!r} has neither data nor binary_data_size")
    flat = tensor.data
    while flat and type(flat[0]) is list:
        flat = [value for row in flat for value in (row if type(row) is list else [row])]
    _check_count(tensor, len(flat))
    try:
        values = _typed(tensor.datatype, flat)
    except (TypeError, ValueError, OverflowError) as error:
        wrong = f"input {tensor.name!r}: its data is not {tensor.datatype}: {error}"
        raise MalformedBodyError(wrong) from None
    return values.reshape(tensor.shape)


def _typed(datatype: str, flat: list[Any]) -> NDArray[Any]:
    """Values of JSON as an array of a type; refuses what is not of that type."""
    if datatype == "BYTES":
        return np.array([str.__str__(text) for text in flat])
    # numpy's own constructor takes text for numbers
    wide = np.array(array({"F": "d", "I": "q", "U": "Q"}[datatype[0]], flat))
    if bool in set(map(type, flat)):
        raise TypeError("there are truths in it")
    with np.errstate(over="ignore"):
        values = wide.astype(DTYPES[datatype])
    if datatype[0] != "F" and not np.array_equal(values, wide):
        raise OverflowError("a value is out of its range")
    return values


def _from_binary(tensor: Input, data: memoryview) -> NDArray[Any]:
    if tensor.datatype == "BYTES":
        texts = _texts(tensor, data)
        _check_count(tensor, len(texts))
        return np.array(texts).reshape(tensor.shape)
    dtype = DTYPES[tensor.datatype]
    if len(data) != prod(tensor.shape) * dtype.itemsize:
        raise MalformedBodyError(
            f"input {tensor.name!r}: {tensor.datatype} of shape {tensor.shape} are "
            f"{prod(tensor.shape) * dtype.itemsize} bytes, binary_data_size is {len(data)}"
        )
    return np.frombuffer(data, dtype).reshape(tensor.shape)


def _texts(tensor: Input, data: memoryview) -> list[str]:
    texts, place = [], 0
    try:
        while place < len(data):
            (length,) = struct.unpack_from("<I", data, place)
            place += 4
            if place + length > len(data):
                raise ValueError(f"a text of {length} bytes, where {len(data) - place} are left")
            texts.append(bytes(data[place : place + length]).decode())
            place += length
    except (struct.error, ValueError) as error:
        raise MalformedBodyError(f"input {tensor.name!r}: {error}") from None
    return texts


def _check_count(tensor: Input, count: int) -> None:
    if count != prod(tensor.shape):
        raise MalformedBodyError(
            f"input {tensor.name!r}: shape {tensor.shape} holds {prod(tensor.shape)} values, "
            f"{count} came"
        )
