"""What an inference request of the Open Inference Protocol means: a flow, a question, outputs."""

import math
import time
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from service.errors import InvalidInputError, MalformedBodyError, readable
from service.inflight import Reading
from service.open_inference import protocol
from service.open_inference.models import LATENT, QUANTILE, ProtocolModel
from service.open_inference.protocol import InferenceRequest
from service.open_inference.tensors import Parameters
from service.operations import (
    FLOW_OPERATIONS,
    MEMBER_OUTPUTS,
    Answer,
    FlowOperation,
    FlowRequest,
    Operations,
    operation_of,
)
from service.store import Model
from service.types import Arrays

# Parameters that change an answer: where they cannot, they are refused. Others are ignored: the
# protocol's own (priority, sequence_id, …) and those that proxies add.
ANSWER_PARAMETERS = frozenset(
    {"dequantize", "seed", "temperature", "truncation", "quantize", "partial", "check", "members"}
    | {"alpha", "fdr", "reasons"}
)

OPERATIONS = {operation.name: operation for operation in FLOW_OPERATIONS}


@dataclass(frozen=True)
class Inference:
    """An inference request, understood.

    Args:
        protocol_model: which model of the protocol is asked.
        model: the flow.
        read: the request as it was read.
        outputs: names of those to answer with, in order.
        operation: which question it is to the flow.
        request: of that operation.
        deadline: when an answer is of no more use, on `time.monotonic`'s clock.
    """

    protocol_model: ProtocolModel
    model: Model
    read: InferenceRequest
    outputs: tuple[str, ...]
    operation: FlowOperation[Any]
    request: FlowRequest
    deadline: float

    @classmethod
    def parse(
        cls,
        protocol_model: ProtocolModel,
        model: Model,
        body: bytes,
        json_length: str,
        reading: Reading,
    ) -> "Inference":
        """Read a request.

        Args:
            protocol_model: which model of the protocol is asked.
            model: the flow.
            body: all of it.
            json_length: the value of `Inference-Header-Content-Length`; empty where it is not
                there, and 0 where the body is the bytes of one input.
            reading: limits of the body.

        Raises:
            TooLargeError, MemoryFullError: more than the limits allow.
            MalformedBodyError: no request of the protocol.
            InvalidInputError: inputs, outputs or parameters that this model does not have.
        """
        if json_length == "0":
            read = protocol.parse_raw(body, protocol_model.inputs(model))
        else:
            read = protocol.parse(body, json_length, reading)
        return cls.understood(protocol_model, model, read)

    @classmethod
    def understood(
        cls, protocol_model: ProtocolModel, model: Model, read: InferenceRequest
    ) -> "Inference":
        """What a request that has been read asks; raises what `parse` does of a read one."""
        deadline = _deadline(read.parameters)
        outputs = _outputs(protocol_model, read)
        name = protocol_model.operation
        if name == "encode" and not LATENT & {*outputs}:
            name = "log_prob"  # without z, rows outside the support have an answer
        operation = operation_of(OPERATIONS[name], model)
        request = _flow_request(protocol_model, read, operation.request, outputs)
        return cls(protocol_model, model, read, outputs, operation, request, deadline)

    def answer(self, operations: Operations, deadline: float) -> Awaitable[Answer]:
        """The flow's answer, of use until this deadline or the request's own."""
        due = min(deadline, self.deadline)
        return self.operation.answer(operations, self.model, self.request, due)

    def dump(self, answer: Answer) -> tuple[bytes, int | None]:
        """The body of an answer, and how many of its bytes are JSON; None where all are."""
        head, arrays, is_binary = self.described(answer)
        content, json_bytes = protocol.dump(head, arrays, is_binary)
        return content, json_bytes if any(is_binary.values()) else None

    def dump_pieces(self, answer: Answer) -> tuple[int, int | None, Iterator[bytes]]:
        """The same of a large answer: see `protocol.dump_pieces`."""
        return protocol.dump_pieces(*self.described(answer))

    def described(self, answer: Answer) -> tuple[dict[str, Any], Arrays, dict[str, bool]]:
        """What stands before the outputs of an answer, these, and which are to be binary."""
        manifest = self.model.manifest
        head: dict[str, Any] = {
            "model_name": self.protocol_model.name(manifest.name),
            "model_version": str(manifest.version),
        }
        if self.read.id:
            head["id"] = self.read.id
        parameters = {} if answer.seed is None else {"seed": answer.seed}
        parameters |= {name: _parameter(said) for name, said in answer.remarks.items()}
        if parameters:
            head["parameters"] = parameters
        arrays = {name: answer.arrays[name] for name in self.outputs}
        is_binary = {n: self.read.outputs.get(n, self.read.binary) for n in self.outputs}
        return head, arrays, is_binary


def _parameter(said: Any) -> Any:
    """A remark of an answer as a parameter, which is no list: numbers with commas, or JSON."""
    if not isinstance(said, list):
        return said
    if isinstance(said[0], int):
        return ",".join(map(str, said))
    return orjson.dumps(said).decode()


def _deadline(parameters: Parameters) -> float:
    """When the caller has no more use for an answer, on `time.monotonic`'s clock."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise MalformedBodyError(f"timeout: expected microseconds, got {timeout!r:.40}")
    return time.monotonic() + timeout / 1e6 if timeout else math.inf


def _outputs(protocol_model: ProtocolModel, read: InferenceRequest) -> tuple[str, ...]:
    """Which outputs to answer with; all of them where none is named."""
    names = tuple(read.outputs) or protocol_model.outputs
    known = protocol_model.outputs + protocol_model.named
    if unknown := [name for name in names if name not in known]:
        raise InvalidInputError(f"there is no output {unknown[0]!r:.80}, only {', '.join(known)}")
    latents = [name for name in names if name in LATENT]
    if latents and (beside := [name for name in names if name in protocol_model.named]):
        raise InvalidInputError(f"output {beside[0]!r} is answered without output {latents[0]!r}")
    return names


def _flow_request(
    protocol_model: ProtocolModel,
    read: InferenceRequest,
    schema: type[FlowRequest],
    outputs: tuple[str, ...],
) -> FlowRequest:
    """A request of the protocol as the operations take it."""
    source = protocol_model.source
    fields: dict[str, Any] = dict(read.inputs)
    known = {source, "context"} | ({"member"} if protocol_model.takes_member else set())
    if unknown := fields.keys() - known:
        raise InvalidInputError(
            f"there is no input {sorted(unknown)[0]!r:.80}, only "
            f"{source}{', member' * protocol_model.takes_member}, and context of a "
            "conditional model"
        )
    if source not in fields:
        raise InvalidInputError(f"input {source!r} is missing")
    if source == "n":
        fields["n"] = _count(fields["n"])
    if read.parameters:
        parameters = {k: v for k, v in read.parameters.items() if k in ANSWER_PARAMETERS}
        if useless := sorted(parameters.keys() - schema.model_fields.keys()):
            raise InvalidInputError(
                f"parameter {useless[0]} has no use here: {source} → {', '.join(outputs)}"
            )
        fields |= parameters
    if {*MEMBER_OUTPUTS} & {*outputs}:
        fields["members"] = True
    if QUANTILE in outputs:
        fields[QUANTILE] = True
    try:
        return schema.model_validate(fields, strict=True)
    except ValidationError as error:
        raise InvalidInputError("; ".join(map(readable, error.errors()))) from None


def _count(n: NDArray[Any]) -> int:
    if n.shape != (1,) or n.dtype.kind not in "iu":
        raise InvalidInputError(
            f"n: expected INT64 of shape [1], got {n.dtype} of shape {list(n.shape)}"
        )
    return int(n[0])
