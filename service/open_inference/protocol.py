"""Requests and answers of the Open Inference Protocol v2, with its binary tensor extension.

A body is JSON, or JSON of `Inference-Header-Content-Length` bytes with tensors behind it, back to
back in the order in which they are named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.codecs import check_json_size, json_pieces
from service.errors import MalformedBodyError, readable
from service.inflight import Reading
from service.open_inference import tensors
from service.open_inference.literals import non_finite_literal
from service.open_inference.tensors import (
    MAX_NAME,
    Input,
    Name,
    NamedTensor,
    Parameters,
    RawTensor,
)
from service.operations import count_booleans
from service.types import Arrays

# Of a request and of an answer: how many bytes of its body are JSON.
LENGTH_HEADER = "Inference-Header-Content-Length"

# Extensions of other servers that would change what an answer means.
UNSUPPORTED = ("classification", "shared_memory_region")

# Inputs of a request, and outputs; no model has more than a few.
MAX_TENSORS = 16


class InferenceJson(BaseModel):
    """The JSON of a request."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: Name | None = None
    parameters: Parameters = Field(default_factory=dict)
    inputs: Annotated[list[Input], Field(min_length=1, max_length=MAX_TENSORS)]
    outputs: Annotated[list[NamedTensor], Field(max_length=MAX_TENSORS)] | None = None

    @property
    def booleans(self) -> int:
        """How many true and false there are beside the data."""
        tensors = [t.parameters for t in (*self.inputs, *(self.outputs or ()))]
        everywhere = (self.parameters, *tensors)
        return sum(type(v) is bool for parameters in everywhere for v in parameters.values())


@dataclass(frozen=True)
class InferenceRequest:
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


def parse(body: bytes, header: str, reading: Reading) -> InferenceRequest:
    """Read a request.

    Args:
        body: all of it.
        header: the value of `Inference-Header-Content-Length`; empty where it is not there.
        reading: limits of the body.

    Raises:
        TooLargeError, MemoryFullError: more than the limits allow.
        MalformedBodyError: lengths that are not those of the body, or no request of the protocol.
    """
    length = _json_length(body, header)
    check_json_size(body, length, reading)
    try:
        content = orjson.loads(memoryview(body)[:length])
    except ValueError as error:
        reason = non_finite_literal(body[:length]) or f"the body is not JSON: {error}"
        raise MalformedBodyError(reason) from None
    parsed = _checked(content)
    inputs = _inputs(parsed, body, length, reading)
    binary = parsed.parameters.get("binary_data_output") is True
    outputs = {
        o.name: o.parameters.get("binary_data", binary) is True for o in parsed.outputs or ()
    }
    return InferenceRequest(parsed.id or "", parsed.parameters, inputs, outputs, binary)


def parse_content(content: Mapping[str, Any], reading: Reading) -> InferenceRequest:
    """Read a request that has come in another way than as JSON; its outputs are all binary.

    Args:
        content: as JSON has it, but that the data of each input may be its bytes, as a memoryview.
        reading: limits of the request.

    Raises:
        TooLargeError, MemoryFullError: more than the limits allow.
        MalformedBodyError: no request of the protocol.
    """
    parsed = _checked(content)
    inputs: Arrays = {}
    for tensor in parsed.inputs:
        if tensor.name in inputs:
            raise _wrong(tensor, " is there twice")
        if isinstance(tensor.data, memoryview):
            inputs[tensor.name] = tensors.from_binary(tensor, tensor.data, reading)
        else:
            inputs[tensor.name] = tensors.from_json(tensor, may_hold_booleans=False)
    outputs = {output.name: True for output in parsed.outputs or ()}
    return InferenceRequest(parsed.id or "", parsed.parameters, inputs, outputs, binary=True)


def plain_request(
    request_id: str, inputs: Sequence[RawTensor], outputs: Sequence[str], reading: Reading
) -> InferenceRequest | None:
    """A request as most are, without parameters and with numbers as bytes; None where it is none.

    Of others `parse_content` says what they are, or what is wrong with them; it takes 10 µs more.

    Args:
        request_id: the caller's.
        inputs: in their order.
        outputs: names of those asked for.
        reading: limits of the request.

    Raises:
        MemoryFullError: more than the limits allow.
        MalformedBodyError: the bytes are not of the shape.
    """
    names = [request_id, *outputs, *[tensor.name for tensor in inputs]]
    if not 0 < len(inputs) <= MAX_TENSORS >= len(outputs) or max(map(len, names)) > MAX_NAME:
        return None
    arrays: Arrays = {}
    for tensor in inputs:
        shape = tensor.shape
        is_known = tensor.datatype in tensors.DTYPES and tensor.datatype != tensors.TEXT
        is_shape = len(shape) <= tensors.MAX_DIMENSIONS and min(shape, default=0) >= 0
        if not (is_known and is_shape) or tensor.name in arrays:
            return None
        arrays[tensor.name] = tensors.from_binary(tensor, tensor.data, reading)
    return InferenceRequest(request_id, {}, arrays, dict.fromkeys(outputs, True), binary=True)


def parse_raw(body: bytes, inputs: list[dict[str, Any]]) -> InferenceRequest:
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
    name, datatype, shape = (inputs[0][key] for key in ("name", "datatype", "shape"))
    row = tensors.tensor_bytes(datatype, shape)
    if len(body) % row or (shape[0] > 0 and len(body) != row):
        several = "a multiple of " if shape[0] < 0 else ""
        raise MalformedBodyError(
            f"input {name!r}: a raw body is {several}{row} bytes, {len(body)} came"
        )
    values = np.frombuffer(body, tensors.DTYPES[datatype]).reshape(shape)
    return InferenceRequest("", {}, {name: values}, binary=True)


def dump(head: Mapping[str, Any], outputs: Arrays, binary: Mapping[str, bool]) -> tuple[bytes, int]:
    """An answer, and how many of its bytes are JSON; in JSON −inf is the lowest number.

    Args:
        head: what stands before the outputs.
        outputs: arrays by name, of numbers, booleans or text.
        binary: which of them follow the JSON.
    """
    content, tail = _described(head, outputs, binary)
    text = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *map(tensors.to_bytes, tail)]), len(text)


def dump_pieces(
    head: Mapping[str, Any], outputs: Arrays, binary: Mapping[str, bool]
) -> tuple[int, int | None, Iterator[bytes]]:
    """The same of a large answer, some bytes at a time.

    Returns:
        How many bytes are JSON, 0 where all are; bytes of the whole answer, None where only its end
        tells; and its pieces.
    """
    content, tail = _described(head, outputs, binary)
    if not tail:
        return 0, None, json_pieces(content)
    text = list(json_pieces(content))
    length = sum(map(len, text))
    whole = length + sum(map(tensors.byte_count, tail))
    return length, whole, chain(text, *map(tensors.byte_pieces, tail))


def _described(
    head: Mapping[str, Any], outputs: Arrays, binary: Mapping[str, bool]
) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """The JSON of an answer, and the arrays that follow it as bytes."""
    described, tail = [], []
    for name, values in outputs.items():
        output: dict[str, Any] = {
            "name": name,
            "datatype": tensors.datatype(values),
            "shape": values.shape,
        }
        if binary[name]:
            output["parameters"] = {"binary_data_size": tensors.byte_count(values)}
            tail.append(values)
        else:
            output["data"] = tensors.to_json(values)
        described.append(output)
    return {**head, "outputs": described}, tail


def _json_length(body: bytes, header: str) -> int:
    if not header:
        return len(body)
    # more digits than that are no length, and Python refuses to count thousands of them
    if header.isascii() and header.isdigit() and len(header) < 20 and int(header) <= len(body):
        return int(header)
    raise MalformedBodyError(
        f"Inference-Header-Content-Length: expected 0 to {len(body)}, the bytes of the body, "
        f"got {header!r:.40}"
    )


def _checked(content: Any) -> InferenceJson:
    """A request as far as JSON holds it."""
    try:
        parsed = InferenceJson.model_validate(content)
    except ValidationError as error:
        raise MalformedBodyError("; ".join(map(readable, error.errors()))) from None
    for tensor in (*parsed.inputs, *(parsed.outputs or ())):
        if unsupported := [key for key in UNSUPPORTED if key in tensor.parameters]:
            raise MalformedBodyError(f"{tensor.name!r:.80}: {unsupported[0]} is not supported here")
    return parsed


def _inputs(parsed: InferenceJson, body: bytes, length: int, reading: Reading) -> Arrays:
    """Every input as an array; their bytes, one after another, are those that follow the JSON."""
    # Each value is looked at only where the text has more booleans than the parameters explain.
    booleans = count_booleans(body, length)
    may_hold_booleans = booleans != 0 and booleans != parsed.booleans
    inputs: Arrays = {}
    for tensor in parsed.inputs:
        if tensor.name in inputs:
            raise _wrong(tensor, " is there twice")
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            if tensor.data is None:
                raise _wrong(tensor, " has neither data nor binary_data_size")
            inputs[tensor.name] = tensors.from_json(tensor, may_hold_booleans)
            continue
        if tensor.data is not None:
            raise _wrong(tensor, " has both data and binary_data_size")
        left = len(body) - length
        if type(size) is not int or not 0 <= size <= left:
            raise _wrong(
                tensor,
                f": binary_data_size: expected 0 to {left}, the bytes left, got {size!r:.40}",
            )
        content = memoryview(body)[length : length + size]
        inputs[tensor.name] = tensors.from_binary(tensor, content, reading)
        length += size
    if length != len(body):
        raise MalformedBodyError(f"{len(body) - length} bytes belong to no input")
    return inputs


def _wrong(tensor: Input, what: str) -> MalformedBodyError:
    return MalformedBodyError(f"input {tensor.name!r:.80}{what}")
