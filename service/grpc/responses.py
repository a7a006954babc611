"""Answers as messages."""

from typing import Any

from google.protobuf.json_format import ParseDict

from service.grpc import wire
from service.grpc.protos import messages
from service.grpc.statuses import Failure
from service.open_inference import Inference, datatype
from service.operations import Answer

# Of the last piece of an answer in a stream, as in Triton's.
FINAL = "triton_final_response"


def infer_response(inference: Inference, answer: Answer, final: bool | None = None) -> bytes:
    """A ModelInferResponse; all of its tensors are raw.

    Args:
        inference: what was asked.
        answer: to it, or a piece of one.
        final: whether it is the last piece; None where it is in no stream.
    """
    head, arrays, _ = inference.described(answer)
    message = messages.ModelInferResponse(
        model_name=head["model_name"], model_version=head["model_version"], id=head.get("id", "")
    )
    for name, value in head.get("parameters", {}).items():
        _put(message.parameters[name], value)
    if final is not None:
        message.parameters[FINAL].bool_param = final
    for name, values in arrays.items():
        message.outputs.add(name=name, datatype=datatype(values), shape=values.shape)
    return wire.response(message.SerializeToString(), list(arrays.values()))


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
