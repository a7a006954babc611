"""Answers as messages."""

from functools import lru_cache
from typing import Any

from google.protobuf.json_format import ParseDict

from service.grpc import wire
from service.grpc.protos import messages
from service.grpc.statuses import Failure
from service.open_inference import Inference, datatype
from service.operations import Answer

# Of the last piece of an answer in a stream, as in Triton's.
FINAL = "triton_final_response"

# Beginnings of answers that are kept, of some hundred bytes each.
MOST_KEPT = 1024


def infer_response(inference: Inference, answer: Answer, final: bool | None = None) -> bytes:
    """A ModelInferResponse; all of its tensors are raw.

    Args:
        inference: what was asked.
        answer: to it, or a piece of one.
        final: whether it is the last piece; None where it is in no stream.
    """
    head, arrays, _ = inference.described(answer)
    outputs = tuple([(name, datatype(values), values.shape) for name, values in arrays.items()])
    start = _outputs(head["model_name"], head["model_version"], outputs)
    parameters = head.get("parameters", {})
    if "id" in head or parameters or final is not None:
        # one after another, parts of a message are the message
        message = messages.ModelInferResponse(id=head.get("id", ""))
        for name, value in parameters.items():
            _put(message.parameters[name], value)
        if final is not None:
            message.parameters[FINAL].bool_param = final
        start += message.SerializeToString()
    return wire.response(start, list(arrays.values()))


@lru_cache(MOST_KEPT)
def _outputs(
    model_name: str, model_version: str, outputs: tuple[tuple[str, str, tuple[int, ...]], ...]
) -> bytes:
    """Names and shapes of an answer, which many have in common: to make them takes 4 µs."""
    message = messages.ModelInferResponse(model_name=model_name, model_version=model_version)
    for name, kind, shape in outputs:
        message.outputs.add(name=name, datatype=kind, shape=shape)
    content: bytes = message.SerializeToString()
    return content


def stream_error(request_id: str, failure: Failure) -> bytes:
    """A ModelStreamInferResponse that says why one request of a stream has no answer."""
    message = messages.ModelStreamInferResponse(error_message=failure.detail)
    message.infer_response.id = request_id
    parameters = message.infer_response.parameters
    parameters["status"].string_param = failure.code.name
    parameters["reason"].string_param = failure.reason
    parameters[FINAL].bool_param = True
    answer: bytes = message.SerializeToString()
    return answer


def from_json(kind: Any, content: dict[str, Any]) -> bytes:
    """A message of a kind that says the same as the JSON of HTTP."""
    message: bytes = ParseDict(content, kind()).SerializeToString()
    return message


def _put(parameter: Any, value: Any) -> None:
    match value:
        case bool():
            parameter.bool_param = value
        case int() if value >= 2**63:
            parameter.uint64_param = value
        case int():
            parameter.int64_param = value
        case float():
            parameter.double_param = value
        case _:
            parameter.string_param = str(value)
