"""The models of the Open Inference Protocol that a model of the store is: one for each graph.

They are `<flow>` (x → log_prob, z), `<flow>.decode` (z → x, log_prob) and `<flow>.sample` (n → x,
log_prob); of an ensemble also `member`, the number of the one whose latent it is, as an input of
`decode` and an output of the others; of a detector `<name>` (x → log_prob) and `<name>.score` (x →
score, p_value, log_prob, anomaly). Conditional ones also take `context`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from service.errors import UnknownModelError
from service.operations import MEMBER_OUTPUTS
from service.store import Model

QUANTILE = "quantile"
"""An output beside log_prob where it is named: not each model has it."""

LATENT = {"z", "member"}
"""Outputs of which rows outside the support have none."""


@dataclass(frozen=True)
class ProtocolModel:
    """A model of the protocol: one question to a flow.

    Args:
        suffix: of its name, after the flow's.
        source: its input beside the context and, of an ensemble, the member.
        outputs: in the order in which they are answered.
        operation: the question that answers with all outputs.
        graph: of the engine, which runs for it.
        named: further outputs, which are answered where they are named, without `z`.
        takes_member: whether it has the input `member`.
    """

    suffix: str
    source: str
    outputs: tuple[str, ...]
    operation: str
    graph: Literal["encode", "decode", "score"]
    named: tuple[str, ...] = ()
    takes_member: bool = False

    def name(self, flow: str) -> str:
        """Its name for a flow."""
        return f"{flow}.{self.suffix}" if self.suffix else flow

    def inputs(self, model: Model) -> list[dict[str, Any]]:
        """Name, datatype and shape of each input; −1 is any number of rows."""
        source = _tensor(model, self.source, *self._row(model, self.source))
        if self.source == "n":
            source |= {"datatype": "INT64", "shape": [1]}
        inputs = [source]
        if self.takes_member:
            inputs.append(_tensor(model, "member"))
        columns = model.manifest.context
        if columns is not None:
            inputs.append(_tensor(model, "context", len(columns)))
        return inputs

    def described_outputs(self, model: Model) -> list[dict[str, Any]]:
        """Name, datatype and shape of each output."""
        return [_tensor(model, name, *self._row(model, name)) for name in self.outputs]

    @staticmethod
    def _row(model: Model, name: str) -> tuple[int, ...]:
        return {"x": model.event_shape, "z": model.latent_shape}.get(name, ())


def _tensor(model: Model, name: str, *row: int) -> dict[str, Any]:
    datatype = "FP32" if model.manifest.dtype == "float32" else "FP64"
    if name == "anomaly":
        datatype = "BOOL"
    if name == "member":
        datatype = "INT64"
    return {"name": name, "datatype": datatype, "shape": [-1, *row]}


FLOW_MODELS = {
    model.suffix: model
    for model in (
        ProtocolModel("", "x", ("log_prob", "z"), "encode", "encode", (QUANTILE,)),
        ProtocolModel("decode", "z", ("x", "log_prob"), "decode", "decode"),
        ProtocolModel("sample", "n", ("x", "log_prob"), "sample", "decode"),
    )
}
ENSEMBLE_MODELS = {
    model.suffix: model
    for model in (
        ProtocolModel(
            "", "x", ("log_prob", "z", "member"), "encode", "encode", (QUANTILE, *MEMBER_OUTPUTS)
        ),
        ProtocolModel("decode", "z", ("x", "log_prob"), "decode", "decode", takes_member=True),
        ProtocolModel("sample", "n", ("x", "log_prob", "member"), "sample", "decode"),
    )
}
DETECTOR_MODELS = {
    model.suffix: model
    for model in (
        ProtocolModel("", "x", ("log_prob",), "log_prob", "score", (QUANTILE,)),
        ProtocolModel("score", "x", ("score", "p_value", "log_prob", "anomaly"), "score", "score"),
    )
}
SUFFIXES = FLOW_MODELS.keys() | DETECTOR_MODELS.keys()


def protocol_models(model: Model | None) -> dict[str, ProtocolModel]:
    """The models of the protocol that a model of the store is, by suffix; of none, a flow's."""
    if model is None:
        return FLOW_MODELS
    if model.ensemble is not None:
        return ENSEMBLE_MODELS
    return FLOW_MODELS if model.detector is None else DETECTOR_MODELS


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
