"""The sequential direction of masked layers as ONNX, unrolled.

The algorithm is that of `models.layers.autoregressive.sequential_inverse`.

A flow is recorded once, with a single node for that direction of a layer (`Deferred`). Every
inverse that is tried replaces it by a subgraph of its own (`expand`), with the weights of each
block and each step as separate constants. Univariate maps and activations are functions of the
model.
"""

from collections.abc import Sequence

import onnx
from onnx import helper
from torch import Tensor, nn

from models.layers import COORDINATE_LIMIT, Autoregressive, Inverse, MaskedAutoregressive
from models.networks import Block
from training.export.masked.network import NetworkWriter
from training.export.masked.sweeps import Sweeping
from training.export.onnx_builder import Writer
from training.export.onnx_functions import DOMAIN, OnnxFunctions
from training.export.recorded import CustomNode, custom_node

NODE = "MaskedInverse"


class Deferred(Autoregressive):
    """A masked layer whose `decode` is exported as one node, which `expand` replaces.

    Args:
        layer: the layer.
        index: its index in the list that `expand` is given.
    """

    def __init__(self, layer: MaskedAutoregressive, index: int) -> None:
        super().__init__(layer.event_shape, context_shape=layer.context_shape)
        self.layer, self.index = layer, index
        self.univariate, self.inverse = layer.univariate, layer.inverse

    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Those of the layer."""
        return self.layer.theta(x, context)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.layer.encode(x, context)

    def _decode_from(
        self, z: Tensor, start: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        order = self.layer.order
        given = [
            value.flatten(1).index_select(1, order) for value in (z, start) if value is not None
        ]
        flat = given[0]
        x, log_det = custom_node(
            CustomNode(DOMAIN, NODE, {"layer": self.index, "starts": int(start is not None)}),
            given if context is None else [*given, context.flatten(1)],
            [flat, flat[:, 0]],
        )
        return x.index_select(1, self.layer.network.position).view_as(z), log_det


def defer(flow: nn.Module) -> list[MaskedAutoregressive]:
    """Wrap every masked layer of a flow in a `Deferred`; returns the layers by their index."""
    layers: list[MaskedAutoregressive] = []
    for parent in list(flow.modules()):
        for name, child in parent.named_children():
            if isinstance(child, MaskedAutoregressive):
                setattr(parent, name, Deferred(child, len(layers)))
                layers.append(child)
    return layers


def is_deferred(node: onnx.NodeProto) -> bool:
    """Whether a node stands for the sequential direction of a layer."""
    return (node.domain, node.op_type) == (DOMAIN, NODE)


def expand(
    model: onnx.ModelProto,
    layers: Sequence[MaskedAutoregressive],
    functions: OnnxFunctions,
    inverse: Inverse,
) -> onnx.ModelProto:
    """A copy of a model in which each node of a `Deferred` is replaced by its subgraph.

    Args:
        model: the exported flow.
        layers: the list that `defer` returned for that flow, folded.
        functions: those of the layers; functions that are missing are added.
        inverse: how the coordinates of a block are computed.
    """
    expanded = onnx.ModelProto()
    expanded.CopyFrom(model)
    del expanded.graph.node[:]
    for node in model.graph.node:
        if not is_deferred(node):
            expanded.graph.node.append(node)
            continue
        index, starts = (attribute.i for attribute in node.attribute)
        writer = Writer(f"layer{index}_")
        z, *rest = node.input
        start = rest.pop(0) if starts else None
        layer = _Layer(writer, layers[index], functions, inverse)
        layer.write(z, start, *rest, outputs=node.output)
        expanded.graph.node.extend(writer.nodes)
        expanded.graph.initializer.extend(writer.constants)
    expanded.functions.extend(functions.protos)
    expanded.graph.initializer.extend(functions.constants)
    return expanded


class _Layer(NetworkWriter):
    """Writes the sequential direction of one layer; strings are names of values."""

    def __init__(
        self,
        writer: Writer,
        layer: MaskedAutoregressive,
        functions: OnnxFunctions,
        inverse: Inverse,
    ) -> None:
        self.decode = functions.decode(layer.univariate)
        super().__init__(writer, layer.network, functions)
        self.inverse, self.size = inverse, layer.univariate.size

    def write(
        self, z: str, start: str | None, context: str | None = None, *, outputs: Sequence[str]
    ) -> None:
        """Write the nodes from z, and perhaps guesses of x, to `outputs`: x and log_det.

        z, guesses and x are batch × D in the order of decoding, log_det is of the batch.
        """
        write = self.writer
        x, log_slopes = self._blocks(z, start, context)
        write.name_output(outputs[0], "Identity", x)
        write.name_output(outputs[1], "ReduceSum", log_slopes, write.integers(1), keepdims=0)

    def _blocks(self, z: str, start: str | None, context: str | None) -> list[str]:
        """Write all blocks: x and log|dx/dz|, both batch × D (`sequential_inverse.invert`)."""
        write = self.writer
        # for each linear layer the units of earlier blocks that it reads, None if there are none
        units: list[str | None] = [None] * len(self.network.linears)
        units[0] = context
        blocks = self.network.blocks(self.inverse.width)
        widths = [len(block.ends) - 1 for block in blocks]
        xs, log_slopes = [], []
        starts = [None] * len(blocks) if start is None else write.cut(start, widths)
        targets = write.cut(z, widths)
        for block, width, target, guess in zip(blocks, widths, targets, starts, strict=True):
            before = self.before(block, units)
            is_last = block is blocks[-1]
            if width == 1:
                results = self._sequential(target, before, block, is_last)
            elif self.inverse.method == "sequential":
                results = self._sequential_apart(target, before, block, is_last)
            else:
                results = self._jacobi(target, before, block, is_last, guess)
            x, log_slope, *hidden = results
            # beyond the limit the coordinates that follow are undefined
            below_limit, nan = self._below_limit(write, x), write.constant(self.dtype.type("nan"))
            x = write.one("Where", below_limit, x, nan)
            if not is_last:
                units = self.add_units(units, [x, *hidden])
            xs.append(x)
            log_slopes.append(log_slope)
        return [write.join(xs), write.join(log_slopes)]

    def _sequential_apart(
        self, z: str, before: Sequence[str | None], block: Block, is_last: bool
    ) -> list[str]:
        """Write one coordinate after another as a graph of its own (`Writer.apart`)."""
        write = self.writer

        def solve(body: Writer) -> list[str]:
            self.writer = body
            results = self._sequential(z, before, block, is_last)
            self.writer = write
            return results

        return write.apart(z, self.dtype, solve)

    def _sequential(
        self, z: str, before: Sequence[str | None], block: Block, is_last: bool
    ) -> list[str]:
        """Write one coordinate after another (`sequential_inverse._sequential`)."""
        write = self.writer
        targets = write.cut(z, [1] * (len(block.ends) - 1))
        log_slopes = []

        def solve(position: int, theta: str) -> str:
            flat = write.one("Squeeze", targets[position], write.integers(1))
            x, log_slope = (
                write.one("Unsqueeze", value, write.integers(1))
                for value in write.call(self.decode, flat, theta)
            )
            log_slopes.append(log_slope)
            return x

        x, *hidden = self.positions(z, before, block, solve, is_last)
        return [x, write.join(log_slopes), *hidden]

    def _jacobi(
        self,
        z: str,
        before: Sequence[str | None],
        block: Block,
        is_last: bool,
        start: str | None,
    ) -> list[str]:
        """Write sweeps over all coordinates until they converge (`sequential_inverse._jacobi`)."""
        write, width = self.writer, len(block.ends) - 1
        bases = [
            write.tensor(bias) if base is None else base
            for base, bias in zip(before, block.bias, strict=True)
        ]
        weights = [write.tensor(weight) for weight in block.within]
        shape, flat = write.integers(-1, width), write.one("Reshape", z, write.integers(-1))
        body = Writer(write.prefix, write)
        last, units = body.name(), None
        levels = [last]
        for base, weight in zip(bases[:-1], weights[:-1], strict=True):
            units = self.units(body, body.one("Gemm", levels[-1], weight, base), units)
            levels.append(units)
        theta = body.one("Gemm", levels[-1], weights[-1], bases[-1])
        theta = body.one("Reshape", theta, write.integers(-1, self.size))
        made = [body.one("Reshape", v, shape) for v in body.call(self.decode, flat, theta)]
        now = self._limited(body, made[0])
        guess = self._zeros(write, z) if start is None else self._limited(write, start)
        kept = made if is_last else [*made, *levels[1:]]
        sweeping = Sweeping(body, last, now, kept, self.dtype)
        tolerance = self.inverse.tolerance
        graph, first = sweeping.exact() if not tolerance else sweeping.up_to(tolerance)
        _, *found = write.loop(width, graph, [guess, *first])
        return found[-len(kept) :]

    def _limited(self, write: Writer, x: str) -> str:
        """Zeros in place of coordinates beyond `COORDINATE_LIMIT`."""
        zero = write.constant(self.dtype.type(0))
        return write.one("Where", self._below_limit(write, x), x, zero)

    def _zeros(self, write: Writer, like: str) -> str:
        """Zeros of the shape of another value."""
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        zero = helper.make_tensor("", kind, [1], [0])
        return write.one("ConstantOfShape", write.one("Shape", like), value=zero)

    def _below_limit(self, write: Writer, x: str) -> str:
        """Whether each coordinate is below `COORDINATE_LIMIT` in magnitude."""
        return write.one(
            "Less", write.one("Abs", x), write.constant(self.dtype.type(COORDINATE_LIMIT))
        )
