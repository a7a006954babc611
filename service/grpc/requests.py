"""A ModelInferRequest as the Open Inference Protocol's own request."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from service.errors import MalformedBodyError, TooLargeError
from service.grpc.protos import messages
from service.grpc.wire import SMALL_BYTES, without_raw_contents
from service.inflight import Reading
from service.open_inference import (
    MAX_PARAMETERS,
    MAX_TENSORS,
    TEXT,
    InferenceRequest,
    RawTensor,
    parse_content,
    plain_request,
)

# The field of typed contents for each datatype; FP16 has none.
TYPED_FIELDS = {
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    TEXT: "bytes_contents",
}

# What is beyond these is refused for their number, and need not be looked at.
MOST_TENSORS = MAX_TENSORS + 1
MOST_PARAMETERS = MAX_PARAMETERS + 1


class ReadRequest(NamedTuple):
    """A request, read.

    Args:
        name: of the model of the protocol.
        version: digits; empty for the current one.
        request: what is asked of it.
    """

    name: str
    version: str
    request: InferenceRequest


def read_request(message: bytes, reading: Reading) -> ReadRequest:
    """Read a ModelInferRequest.

    Args:
        message: its bytes.
        reading: limits.

    Raises:
        MalformedBodyError: no request of the protocol.
        TooLargeError, MemoryFullError: more than the limits allow.
    """
    raw: list[memoryview] | None = None
    if len(message) > SMALL_BYTES:
        message, raw = without_raw_contents(message, reading)
    asked = parsed(messages.ModelInferRequest, message)
    if raw is None:
        raw = [memoryview(content) for content in asked.raw_input_contents]
    request = _plain(asked, raw, reading)
    if request is None:
        content = {
            "id": asked.id,
            "parameters": _parameters(asked.parameters),
            "inputs": list(_inputs(asked, raw, reading)),
            "outputs": [
                {"name": output.name, "parameters": _parameters(output.parameters)}
                for output in asked.outputs[:MOST_TENSORS]
            ],
        }
        request = parse_content(content, reading)
    return ReadRequest(asked.model_name, asked.model_version, request)


def parsed(kind: Any, message: bytes) -> Any:
    """A message of a kind.

    Raises:
        MalformedBodyError: the bytes are none.
    """
    try:
        return kind.FromString(message)
    except DecodeError:
        pass
    raise MalformedBodyError(f"the message is no {kind.DESCRIPTOR.name}")


def _plain(asked: Any, raw: list[memoryview], reading: Reading) -> InferenceRequest | None:
    """The request where it is as most are, see `plain_request`."""
    inputs, outputs = asked.inputs, asked.outputs
    if asked.parameters or len(raw) != len(inputs) or max(len(raw), len(outputs)) > MAX_TENSORS:
        return None
    tensors = []
    for tensor, content in zip(inputs, raw, strict=True):
        if tensor.parameters or tensor.HasField("contents"):
            return None
        tensors.append(RawTensor(tensor.name, tensor.datatype, list(tensor.shape), content))
    names = []
    for output in outputs:
        if output.parameters:
            return None
        names.append(output.name)
    return plain_request(asked.id, tensors, names, reading)


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name; None of a parameter without one."""
    return {
        name: None
        if (kind := value.WhichOneof("parameter_choice")) is None
        else getattr(value, kind)
        for name, value in islice(parameters.items(), MOST_PARAMETERS)
    }


def _inputs(asked: Any, raw: list[memoryview], reading: Reading) -> Iterator[dict[str, Any]]:
    """The inputs as JSON has them, each with the bytes or the values that are its data."""
    if raw and len(raw) != len(asked.inputs):
        raise MalformedBodyError(
            f"raw_input_contents: expected one for each of the {len(asked.inputs)} inputs, "
            f"{len(raw)} came"
        )
    for i, tensor in enumerate(asked.inputs[:MOST_TENSORS]):
        if raw and tensor.HasField("contents"):
            raise MalformedBodyError(
                f"input {tensor.name!r:.80} has contents, and there are raw_input_contents too"
            )
        data = raw[i] if raw else _typed(tensor, reading)
        yield {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
            "parameters": _parameters(tensor.parameters),
            "data": data,
        }


def _typed(tensor: Any, reading: Reading) -> list[Any]:
    """The typed contents of an input; of an unknown datatype none, which is refused later."""
    if tensor.datatype == "FP16":
        raise MalformedBodyError(
            f"input {tensor.name!r:.80}: FP16 has no typed contents, only raw_input_contents"
        )
    name = TYPED_FIELDS.get(tensor.datatype)
    others = [field.name for field, _ in tensor.contents.ListFields() if field.name != name]
    if name is not None and others:
        raise MalformedBodyError(
            f"input {tensor.name!r:.80}: expected {tensor.datatype} in {name}, got {others[0]}"
        )
    values = () if name is None else getattr(tensor.contents, name)
    limit = reading.limits.json_values
    if len(values) > limit:
        raise TooLargeError(
            f"typed contents may have {limit} values, {tensor.name!r:.80} has {len(values)}: "
            "raw_input_contents hold more"
        )
    if name != "bytes_contents":
        return list(values)
    try:
        return [str(text, "utf-8") for text in values]
    except UnicodeDecodeError as error:
        wrong = f"input {tensor.name!r:.80}: expected UTF-8: {error}"
    raise MalformedBodyError(wrong)
