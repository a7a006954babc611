"""What an inference request of the Open Inference Protocol means: a flow, a question, outputs.

Each graph is a model of the protocol: `<flow>` (x → log_prob, z), `<flow>.decode` (z → x,
log_prob) and `<flow>.sample` (n → x, log_prob); of a detector `<name>` (x → log_prob) and
`<name>.score` (x → score, p_value, log_prob, anomaly). Conditional ones also take `context`.
"""

import math
import time
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from numpy.typing import NDArray
from pydantic import ValidationError

from service.errors import InvalidInputError, MalformedBodyError, UnknownModelError, readable
from service.inflight import Reading
from service.open_inference import protocol
from service.open_inference.protocol import InferenceRequest
from service.open_inference.tensors import Parameters
from service.operations import (
    FLOW_OPERATIONS,
    Answer,
    FlowOperation,
    FlowRequest,
    Operations,
    operation_of,
)
from service.store import Model
from service.types import Arrays

QUANTILE = "quantile"  # an output beside log_prob where it is named: not each model has it

# Parameters that change an answer: where they cannot, they are refused. Others are ignored: the
# protocol's own (priority, sequence_id, …) and those that proxies add.
ANSWER_PARAMETERS = frozenset(
    {"dequantize", "seed", "temperature", "truncation", "quantize", "partial", "check"}
    | {"alpha", "fdr", "reasons"}
)


@dataclass(frozen=True)
class ProtocolModel:
    """A model of the protocol: one question to a flow.

    Args:
        suffix: of its name, after the flow's.
        source: its input beside the context.
        outputs: in the order in which they are answered.
        operation: the question that answers with all outputs.
        graph: of the engine, which runs for it.
    """

    suffix: str
    source: str
    outputs: tuple[str, ...]
    operation: str
    graph: Literal["encode", "decode", "score"]

    def name(self, flow: str) -> str:
        """Its name for a flow."""
        return f"{flow}.{self.suffix}" if self.suffix else flow

    def inputs(self, model: Model) -> list[dict[str, Any]]:
        """Name, datatype and shape of each input; −1 is any number of rows."""
        source = _tensor(model, self.source, *self._row(model, self.source))
        if self.source == "n":
            source |= {"datatype": "INT64", "shape": [1]}
        columns = model.manifest.context
        return [source] if columns is None else [source, _tensor(model, "context", len(columns))]

    def described_outputs(self, model: Model) -> list[dict[str, Any]]:
        """Name, datatype and shape of each output."""
        return [_tensor(model, name, *self._row(model, name)) for name in self.outputs]

    @staticmethod
    def _row(model: Model, name: str) -> tuple[int, ...]:
        return {"x": model.event_shape, "z": model.latent_shape}.get(name, ())


def _tensor(model: Model, name: str, *row: int) -> dict[str, Any]:
    datatype = "FP32" if model.format_2 is None else "FP64"
    if name == "anomaly":
        datatype = "BOOL"
    return {"name": name, "datatype": datatype, "shape": [-1, *row]}


FLOW_MODELS = {
    model.suffix: model
    for model in (
        ProtocolModel("", "x", ("log_prob", "z"), "encode", "encode"),
        ProtocolModel("decode", "z", ("x", "log_prob"), "decode", "decode"),
        ProtocolModel("sample", "n", ("x", "log_prob"), "sample", "decode"),
    )
}
DETECTOR_MODELS = {
    model.suffix: model
    for model in (
        ProtocolModel("", "x", ("log_prob",), "log_prob", "score"),
        ProtocolModel("score", "x", ("score", "p_value", "log_prob", "anomaly"), "score", "score"),
    )
}
SUFFIXES = FLOW_MODELS.keys() | DETECTOR_MODELS.keys()


def protocol_models(model: Model | None) -> dict[str, ProtocolModel]:
    """The models of the protocol that a model of the store is, by suffix; of none, a flow's."""
    return FLOW_MODELS if model is None or model.detector is None else DETECTOR_MODELS


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
        if name == "encode" and "z" not in outputs:
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


def split_name(name: str) -> tuple[str, str]:
    """The flow's name, and the suffix of a model of the protocol, that a name is made of.

    Raises:
        UnknownModelError: there is no such model of any flow.
    """
    flow, dot, suffix = name.partition(".")
    if suffix not in SUFFIXES or bool(dot) != bool(suffix):
        raise unknown_model(name, FLOW_MODELS)
    return flow, suffix


def unknown_model(name: str, known: Mapping[str, ProtocolModel]) -> UnknownModelError:
    """The error of a name that is of none of the models of the protocol that there are."""
    flow = name.partition(".")[0][:40]
    names = ", ".join(model.name(flow) for model in known.values())
    return UnknownModelError(f"no model {name!r:.80}: expected one of {names}")


def _deadline(parameters: Parameters) -> float:
    """When the caller has no more use for an answer, on `time.monotonic`'s clock."""
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or timeout < 0:
        raise MalformedBodyError(f"timeout: expected microseconds, got {timeout!r:.40}")
    return time.monotonic() + timeout / 1e6 if timeout else math.inf


def _outputs(protocol_model: ProtocolModel, read: InferenceRequest) -> tuple[str, ...]:
    """Which outputs to answer with; all of them where none is named."""
    names = tuple(read.outputs) or protocol_model.outputs
    known = protocol_model.outputs + (() if protocol_model.suffix else (QUANTILE,))
    if unknown := [name for name in names if name not in known]:
        raise InvalidInputError(f"there is no output {unknown[0]!r:.80}, only {', '.join(known)}")
    if QUANTILE in names and "z" in names:
        raise InvalidInputError("output 'quantile' is answered without output 'z'")
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
    if unknown := fields.keys() - {source, "context"}:
        raise InvalidInputError(
            f"there is no input {sorted(unknown)[0]!r:.80}, only {source}, and context of a "
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
