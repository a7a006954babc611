"""The sequential direction of masked layers as ONNX, unrolled.

The algorithm is that of `models.layers.sequential_inverse`.

torch's exporter takes minutes over as many loops as there are blocks. So it is shown a single node
for that direction of a layer (`Deferred`), and what the node stands for is written here, with the
weights of each block and each step as constants of their own (`expand`). Univariate maps and
activations are still what torch makes of them, as functions of the model.
"""

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from models.bijection import Bijection
from models.layers import COORDINATE_LIMIT, Inverse, MaskedAutoregressive
from models.networks import Block
from training.export.onnx_builder import Writer
from training.export.onnx_functions import DOMAIN, Functions

NODE = "MaskedInverse"


class Deferred(Bijection):
    """A masked layer whose `decode` is exported as one node, for `expand` to write.

    Args:
        layer: it.
        index: by which `expand` finds it.
    """

    def __init__(self, layer: MaskedAutoregressive, index: int) -> None:
        super().__init__(layer.event_shape, context_shape=layer.context_shape)
        self.layer, self.index = layer, index

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.layer.encode(x, context)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = z.flatten(1).index_select(1, self.layer.order)
        x, log_det = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{NODE}",
            [flat] if context is None else [flat, context.flatten(1)],
            {"layer": self.index},
            dtypes=(z.dtype, z.dtype),
            shapes=(flat.shape, flat.shape[:1]),
            version=1,
        )
        return x.index_select(1, self.layer.network.position).view_as(z), log_det


def defer(flow: nn.Module) -> list[MaskedAutoregressive]:
    """Put every masked layer of a flow into a `Deferred`; gives them by their index."""
    layers: list[MaskedAutoregressive] = []
    for parent in list(flow.modules()):
        for name, child in parent.named_children():
            if isinstance(child, MaskedAutoregressive):
                setattr(parent, name, Deferred(child, len(layers)))
                layers.append(child)
    return layers


def is_deferred(node: onnx.NodeProto) -> bool:
    """Whether a node stands for a layer's sequential direction."""
    return (node.domain, node.op_type) == (DOMAIN, NODE)


def expand(
    model: onnx.ModelProto,
    layers: Sequence[MaskedAutoregressive],
    functions: Functions,
    inverse: Inverse,
) -> onnx.ModelProto:
    """A copy of a model in which each node of a `Deferred` is written out.

    Args:
        model: what the exporter made of a flow.
        layers: what `defer` gave for that flow, folded.
        functions: those of the layers, traced where they are not yet.
        inverse: how the coordinates of a block are found.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    for node in model.graph.node:
        if not is_deferred(node):
            made.graph.node.append(node)
            continue
        index = node.attribute[0].i
        writer = Writer(f"layer{index}_")
        _Layer(writer, layers[index], functions, inverse).write(*node.input, outputs=node.output)
        made.graph.node.extend(writer.nodes)
        made.graph.initializer.extend(writer.constants)
    made.functions.extend(functions.made)
    made.graph.initializer.extend(functions.constants)
    return made


class _Layer:
    """Writes one layer's sequential direction; a value's name stands for it."""

    def __init__(
        self,
        writer: Writer,
        layer: MaskedAutoregressive,
        functions: Functions,
        inverse: Inverse,
    ) -> None:
        self.writer, self.inverse = writer, inverse
        self.network, self.size = layer.network, layer.univariate.size
        conditioner = layer.network.conditioner
        self.decode = functions.decode(layer.univariate)
        self.first_units = functions.hidden_units(conditioner, follows=False)
        self.next_units = functions.hidden_units(conditioner, follows=conditioner.residual)
        self.dtype = torch.empty(0, dtype=functions.dtype).numpy().dtype

    def write(self, z: str, context: str | None = None, *, outputs: Sequence[str]) -> None:
        """Write it from z, batch × D in order, to `outputs`: x, batch × D in order, and log_det."""
        write = self.writer
        if self.inverse.method == "jacobi":
            results = self._blocks(z, context)
        else:
            # A loop of one step, for a graph of its own: onnxruntime plans the memory of a graph
            # in a time that is quadratic in its values, and five layers of 43 coordinates took 10 s
            self.writer = Writer(write.prefix, write)
            results = self._blocks(z, context)
            once = self.writer.one("Identity", write.constant(np.bool_(True)))
            body = self.writer.loop_body(self.writer.name(), once, results, self.dtype)
            results = write.loop(1, body, [self._zeros(write, z)] * len(results))
        write.name_output(outputs[0], "Identity", results[0])
        write.name_output(outputs[1], "ReduceSum", results[1], write.integers(1), keepdims=0)

    def _blocks(self, z: str, context: str | None) -> list[str]:
        """Block after block: x and log|dx/dz|, both batch × D (`sequential_inverse.invert`)."""
        write = self.writer
        # for each linear layer what it reads of the blocks so far, None where that is nothing
        read: list[str | None] = [None] * len(self.network.linears)
        read[0] = context
        blocks = self.network.blocks(self.inverse.width)
        widths = [len(block.ends) - 1 for block in blocks]
        found, log_slopes = [], []
        for block, width, ours in zip(blocks, widths, write.cut(z, widths), strict=True):
            before = [
                None if value is None else write.one("Gemm", value, *map(write.tensor, terms))
                for value, *terms in zip(read, block.before, block.bias, strict=True)
            ]
            one_by_one = self.inverse.method == "sequential" or width == 1
            find = self._sequential if one_by_one else self._jacobi
            x, log_slope, *hidden = find(ours, before, block)
            # beyond it nothing is known of the coordinates that follow
            x = write.one("Where", self._known(write, x), x, write.constant(self.dtype.type("nan")))
            read = [
                mine if theirs is None else write.join([theirs, mine])
                for theirs, mine in zip(read, [x, *hidden], strict=True)
            ]
            found.append(x)
            log_slopes.append(log_slope)
        return [write.join(found), write.join(log_slopes)]

    def _sequential(self, z: str, before: Sequence[str | None], block: Block) -> list[str]:
        """One coordinate after another (`sequential_inverse._sequential`)."""
        write, last = self.writer, len(before) - 1
        places = len(block.ends) - 1
        pieces = [self._pieces(i, before[i], block) for i in range(last + 1)]
        levels: list[list[str]] = [[] for _ in before]
        log_slopes = []
        for place, target in enumerate(write.cut(z, [1] * places)):
            units: str | None = None
            for i in range(last + 1):
                ours = slice(block.ends[place][i + 1], block.ends[place + 1][i + 1])
                if ours.start == ours.stop:  # no hidden unit is this place's
                    continue
                above, seen = pieces[i][place], block.seen(place, i)
                if seen:
                    weight = write.tensor(block.within[i][:seen, ours])
                    above = write.one("Gemm", levels[i][-1], weight, above)
                elif before[i] is None:
                    above = self._rows(z, above, ours.stop - ours.start)
                if i < last:
                    units = self._units(write, above, units)
                    levels[i + 1] = [write.join([*levels[i + 1], units])]
            flat = write.one("Squeeze", target, write.integers(1))
            x, log_slope = (
                write.one("Unsqueeze", value, write.integers(1))
                for value in write.call(self.decode, flat, above)
            )
            levels[0] = [write.join([*levels[0], x])]
            log_slopes.append(log_slope)
        return [levels[0][0], write.join(log_slopes), *(level[0] for level in levels[1:])]

    def _pieces(self, layer: int, before: str | None, block: Block) -> list[str]:
        """What the units of each place have from earlier blocks, "" for places that have none."""
        widths = np.diff([end[layer + 1] for end in block.ends]).tolist()
        if before is None:
            parts = torch.split(block.bias[layer], widths)
            return [self.writer.tensor(part) if len(part) else "" for part in parts]
        cut = iter(self.writer.cut(before, [width for width in widths if width]))
        return [next(cut) if width else "" for width in widths]

    def _rows(self, z: str, row: str, width: int) -> str:
        """One row for each row of z."""
        write = self.writer
        batch = write.one("Shape", z, start=0, end=1)
        shape = write.one("Concat", batch, write.integers(width), axis=0)
        return write.one("Expand", row, shape)

    def _jacobi(self, z: str, before: Sequence[str | None], block: Block) -> list[str]:
        """All coordinates at once, until they stand still (`sequential_inverse._jacobi`)."""
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
            units = self._units(body, body.one("Gemm", levels[-1], weight, base), units)
            levels.append(units)
        theta = body.one("Gemm", levels[-1], weights[-1], bases[-1])
        theta = body.one("Reshape", theta, write.integers(-1, self.size))
        x, log_slope = body.call(self.decode, flat, theta)
        known = body.one("Where", self._known(body, x), x, write.constant(self.dtype.type(0)))
        now = body.one("Reshape", known, shape)
        results = [now, x, log_slope, *levels[1:]]
        graph = body.loop_body(last, self._moving(body, now, last), results, self.dtype)
        _, *flats = write.loop(width + 1, graph, [self._zeros(write, z)] * len(results))
        return [*(write.one("Reshape", value, shape) for value in flats[:2]), *flats[2:]]

    def _zeros(self, write: Writer, like: str) -> str:
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        zero = helper.make_tensor("", kind, [1], [0])
        return write.one("ConstantOfShape", write.one("Shape", like), value=zero)

    def _moving(self, write: Writer, now: str, last: str) -> str:
        """Whether a coordinate changed by more than the tolerance."""
        if not self.inverse.tolerance:
            still = write.one("Equal", now, last)
        else:
            least = write.constant(self.dtype.type(1))
            scale = write.one("Max", write.one("Abs", last), least)
            tolerance = write.constant(self.dtype.type(self.inverse.tolerance))
            change = write.one("Abs", write.one("Sub", now, last))
            still = write.one("LessOrEqual", change, write.one("Mul", scale, tolerance))
        return write.one("Not", write.one("ReduceMin", still, keepdims=0))

    def _known(self, write: Writer, x: str) -> str:
        return write.one("Less", write.one("Abs", x), write.constant(self.dtype.type(COORDINATE_LIMIT)))

    def _units(self, write: Writer, above: str, units: str | None) -> str:
        """Units of a hidden layer; `units` are those of the one before it."""
        if units is None or not self.network.conditioner.residual:
            return write.call(self.first_units, above)[0]
        return write.call(self.next_units, above, units)[0]
