"""The two directions of a flow as ONNX files."""

import copy
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from models.flow import Flow
from models.layers import Inverse, MaskedAutoregressive
from models.numerics import fold
from training.export.masked_inverse import defer, expand, is_deferred
from training.export.onnx_functions import Functions
from training.export.torch_export import trace


class _Direction(nn.Module):
    """One direction of a flow as a module whose call is a graph from float32 to float32."""

    def __init__(self, flow: Flow, encodes: bool) -> None:
        super().__init__()
        self.flow, self.encodes = flow, encodes

    def forward(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        go = self.flow.encode if self.encodes else self.flow.decode
        context = None if context is None else context.to(self.flow.like)
        out, log_prob = go(value.to(self.flow.like), context)
        return out.float(), log_prob.float()


@dataclass(frozen=True)
class Draft:
    """One direction of a flow, in which the inverses of masked layers wait to be written.

    Args:
        model: what the exporter made of it.
        layers: the flow's masked layers, folded.
        functions: traced parts of theirs.
    """

    model: onnx.ModelProto
    layers: list[MaskedAutoregressive]
    functions: Functions

    @property
    def sequential(self) -> int:
        """The most coordinates that a layer finds one after another; 0 where none does."""
        waiting = [node.attribute[0].i for node in self.model.graph.node if is_deferred(node)]
        return max((self.layers[i].order.numel() for i in waiting), default=0)

    def finish(self, inverse: Inverse | None) -> bytes:
        """The ONNX file; `inverse` is how masked layers are inverted, where any waits for it."""
        model = self.model
        if inverse is not None:
            model = expand(model, self.layers, self.functions, inverse)
        content: bytes = model.SerializeToString()
        return content


def draft(flow: Flow, source: str, target: str) -> Draft:
    """One direction of a flow as a graph of any batch size, float32 outside.

    Args:
        flow: the flow; the graph computes in its number type.
        source, target: names of the graph's input and first output: x and z to encode, z and x
            to decode. The second output is log_prob; a conditional flow has the input context.
    """
    folded = copy.deepcopy(flow).eval().requires_grad_(False)
    fold(folded)
    layers = defer(folded)
    bijection, encodes = flow.bijection, source == "x"
    shapes = {source: bijection.event_shape if encodes else bijection.latent_shape}
    if flow.context_shape is not None:
        shapes["context"] = flow.context_shape
    inputs = {name: torch.zeros(3, *shape) for name, shape in shapes.items()}
    model = trace(_Direction(folded, encodes), inputs, [target, "log_prob"])
    return Draft(model, layers, Functions(flow.like.dtype))
