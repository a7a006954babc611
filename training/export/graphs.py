"""The two directions of a flow, and decoding layer by layer, as ONNX files."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import onnx
import torch
from torch import Tensor

from models.flow import Flow
from models.layers import (
    CausalAutoregressive,
    Inverse,
    MaskedAutoregressive,
    TransformerAutoregressive,
)
from models.layerwise import decode_by_layers
from models.numerics import fold
from training.export.masked import defer, expand, is_deferred
from training.export.onnx_functions import DOMAIN, OnnxFunctions
from training.export.recorded import onnx_model, recorded

# A step of a linear layer and its units: a product, an activation, and joining or cutting.
NODES_OF_A_UNIT = 4

Stepwise = TransformerAutoregressive | CausalAutoregressive
"""Layers whose sequential direction is recorded as torch runs it, once for each inverse."""


@dataclass(frozen=True)
class Draft:
    """An exported graph of a flow, in which the inverses of masked layers are still missing.

    Args:
        model: the exported model, with one node for each missing inverse.
        layers: the masked layers of the flow, folded.
        functions: their univariate maps and activations.
        stepwise: other layers that the graph goes through step by step.
        record: makes the same model anew, with those layers inverted by sweeps.
    """

    model: onnx.ModelProto
    layers: list[MaskedAutoregressive]
    functions: OnnxFunctions
    stepwise: Sequence[Stepwise]
    record: Callable[[Inverse], onnx.ModelProto]

    @property
    def coordinates(self) -> list[int]:
        """How many coordinates each missing inverse has."""
        deferred = [node.attribute[0].i for node in self.model.graph.node if is_deferred(node)]
        return [self.layers[i].order.numel() for i in deferred]

    @property
    def tokens(self) -> list[tuple[int, int]]:
        """Of each transformer that the graph goes through step by step, tokens and their values."""
        return [
            (layer.tokens, layer.values)
            for layer in self.stepwise
            if isinstance(layer, TransformerAutoregressive)
        ]

    @property
    def nodes_one_by_one(self) -> int:
        """About how many nodes compute the coordinates of missing inverses one after another."""
        deferred = [node.attribute[0].i for node in self.model.graph.node if is_deferred(node)]
        return sum(self._nodes_of_steps(self.layers[i]) for i in deferred)

    def _nodes_of_steps(self, layer: MaskedAutoregressive) -> int:
        name = self.functions.decode(layer.univariate).name
        (decode,) = (proto for proto in self.functions.protos if proto.name == name)
        step = len(decode.node) + NODES_OF_A_UNIT * len(layer.network.linears)
        return layer.order.numel() * step

    def finish(self, inverse: Inverse | None) -> bytes:
        """The ONNX file, whose sequential layers are inverted by `inverse`: None if none is."""
        model = self.model
        if inverse is not None and inverse.method == "jacobi" and self.stepwise:
            model = self.record(inverse)
        if inverse is not None and self.coordinates:
            model = expand(model, self.layers, self.functions, inverse)
        content: bytes = model.SerializeToString()
        return content


def draft(flow: Flow, source: str, target: str) -> Draft:
    """Export one direction of a flow, for any batch size, with float32 inputs and outputs.

    Args:
        flow: the flow, in whose number type the graph computes.
        source, target: names of the graph's input and first output: x and z to encode, z and x
            to decode, z and states to decode layer by layer (`models.layerwise`). The second
            output is log_prob, of states log_probs; a conditional flow has the input context.
    """
    folded = copy.deepcopy(flow).cpu().eval().requires_grad_(False)
    fold(folded)
    layers = defer(folded)
    cost = folded.encode_cost if source == "x" else folded.decode_cost
    inner = folded.bijection.modules() if cost == "sequential" else ()
    stepwise = [layer for layer in inner if isinstance(layer, Stepwise)]
    shapes = {source: flow.event_shape if source == "x" else flow.latent_shape}
    if flow.context_shape is not None:
        shapes["context"] = flow.context_shape

    calls: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
        "z": folded.encode,
        "x": folded.decode,
        "states": partial(decode_by_layers, folded),
    }
    call = calls[target]

    def direction(value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        context = None if context is None else context.to(folded.like)
        output, log_prob = call(value.to(folded.like), context)
        return output.float(), log_prob.float()

    def record(inverse: Inverse | None = None) -> onnx.ModelProto:
        for layer in stepwise:
            layer.inverse = layer.inverse if inverse is None else inverse
        graph = recorded(
            direction,
            {name: ("batch", *shape) for name, shape in shapes.items()},
            (target, "log_probs" if target == "states" else "log_prob"),
            torch.float32,
            names={**dict(folded.named_buffers()), **dict(folded.named_parameters())},
        )
        return onnx_model(graph, [DOMAIN])

    return Draft(record(), layers, OnnxFunctions(flow.like.dtype), stepwise, record)
