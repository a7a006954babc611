"""The graphs of an ensemble: those of its members in one, and the mixture on top.

encode: x[, context] → z, log_prob, member, member_log_prob, member_z
decode: z, member[, context] → x, log_prob

Encoding runs every member on every row. Decoding gives each member its own rows alone: a batch
costs as many rows of decoding as it has, and a member without rows there does not run. What comes
of it is then encoded by every member, so that log_prob is that of the row as it is answered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.flow import Flow
from training.export.ensemble.merged import BATCH, MergedGraph
from training.export.onnx_builder import Writer
from training.export.recorded.nodes import needed


@dataclass(frozen=True)
class MixtureShapes:
    """The mixture that graphs are written for.

    Args:
        weights: of the members.
        event_shape, latent_shape: of a row.
        context_columns: 0 without context.
    """

    weights: Sequence[float]
    event_shape: Sequence[int]
    latent_shape: Sequence[int]
    context_columns: int


def encode_graph(encoders: Sequence[bytes], mixture: MixtureShapes) -> bytes:
    """The ONNX file that encodes; `encoders` are the members' files."""
    merged = MergedGraph()
    member_z, log_probs = _encoded(merged, encoders, mixture)
    log_prob, weighted = _mixed(merged.writer, log_probs, mixture.weights)
    w = merged.writer
    w.name_output("member_z", "Concat", *member_z, axis=1)
    w.name_output("member_log_prob", "Identity", log_probs)
    w.name_output("log_prob", "Identity", log_prob)
    w.name_output("member", "ArgMax", weighted, axis=1, keepdims=0)
    place = w.one("Unsqueeze", "member", w.integers(1))
    w.name_output("z", "GatherND", "member_z", place, batch_dims=1)
    k = len(encoders)
    return merged.file(
        _inputs({"x": mixture.event_shape}, mixture),
        [
            _info("z", mixture.latent_shape),
            _info("log_prob", ()),
            _info("member", (), TensorProto.INT64),
            _info("member_log_prob", (k,)),
            _info("member_z", (k, *mixture.latent_shape)),
        ],
    )


def decode_graph(
    decoders: Sequence[bytes], encoders: Sequence[bytes], mixture: MixtureShapes
) -> bytes:
    """The ONNX file that decodes; the others are the members' files for both directions."""
    merged = MergedGraph()
    w = merged.writer
    rows = [_rows_of(w, k) for k in range(len(decoders))]
    parts = [
        _decoded_by(merged, decoder, k, rows[k], mixture) for k, decoder in enumerate(decoders)
    ]
    # the place of each row among the parts: of a permutation, the inverse one
    order = w.one("Concat", *rows, axis=0)
    count = w.one("Size", order)
    zero, one = w.constant(np.int64(0)), w.constant(np.int64(1))
    places = w.one("ScatterElements", order, order, w.one("Range", zero, count, one), axis=0)
    w.name_output("x", "Gather", w.one("Concat", *parts, axis=0), places, axis=0)
    _, log_probs = _encoded(merged, encoders, mixture, with_latents=False)
    w.name_output("log_prob", "Identity", _mixed(w, log_probs, mixture.weights)[0])
    inputs = _inputs({"z": mixture.latent_shape}, mixture)
    inputs.insert(1, _info("member", (), TensorProto.INT64))
    return merged.file(inputs, [_info("x", mixture.event_shape), _info("log_prob", ())])


def _encoded(
    merged: MergedGraph,
    encoders: Sequence[bytes],
    mixture: MixtureShapes,
    with_latents: bool = True,
) -> tuple[list[str], str]:
    """Write the encoding of all rows by each member: latents, each N × 1 × …; and N × members."""
    w, latents, log_probs = merged.writer, [], []
    for k, content in enumerate(encoders):
        given = {"x": "x", "context": "context"}
        graph = merged.taken(content, f"m{k}.encode.", given, BATCH)
        w.nodes.extend(graph.node)
        merged.value_info.extend(graph.value_info)
        merged.value_info.extend(graph.output)
        if with_latents:
            shape = w.integers(-1, 1, *mixture.latent_shape)
            latents.append(w.one("Reshape", f"m{k}.encode.z", shape))
        log_probs.append(w.one("Unsqueeze", f"m{k}.encode.log_prob", w.integers(1)))
    return latents, w.one("Concat", *log_probs, axis=1)


def _mixed(w: Writer, log_probs: str, weights: Sequence[float]) -> tuple[str, str]:
    """Write the log of the sum of w_k p_k, N, and the logs of its terms, N × members.

    Terms are float64: of a row of a thousand nats float32 has digits up to 1e-4. Where all of them
    are −∞, so is the sum: the largest is then no number to subtract.
    """
    with np.errstate(divide="ignore"):
        log_weights = np.log(np.array([weights], np.float64))
    wide = w.one("Cast", log_probs, to=TensorProto.DOUBLE)
    weighted = w.one("Add", wide, w.constant(log_weights))
    largest = w.one("ReduceMax", weighted, w.integers(1), keepdims=1)
    top = w.one("Where", w.one("IsInf", largest), w.constant(np.float64(0)), largest)
    parts = w.one("Exp", w.one("Sub", weighted, top))
    total = w.one("Log", w.one("ReduceSum", parts, w.integers(1), keepdims=1))
    log_prob = w.one("Squeeze", w.one("Add", total, top), w.integers(1))
    return w.one("Cast", log_prob, to=TensorProto.FLOAT), weighted


def _rows_of(w: Writer, k: int) -> str:
    """Write the numbers of the rows that are a member's: n."""
    is_its = w.one("Equal", "member", w.constant(np.int64(k)))
    return w.one("Squeeze", w.one("NonZero", is_its), w.integers(0))


def _decoded_by(
    merged: MergedGraph, content: bytes, k: int, rows: str, mixture: MixtureShapes
) -> str:
    """Write the decoding of a member's rows, where it has some: n × event shape."""
    prefix, axis, name = f"m{k}.decode.", f"rows{k}", f"m{k}.x"
    inner = Writer(prefix + "of.", merged.writer)
    given = {"z": inner.one("Gather", "z", rows, axis=0)}
    if mixture.context_columns:
        given["context"] = inner.one("Gather", "context", rows, axis=0)
    graph = merged.taken(content, prefix, given, axis)
    shape = _info(f"{prefix}x", mixture.event_shape, axis=axis)  # log_prob is not needed
    then = helper.make_graph(
        [*inner.nodes, *needed(graph.node, {shape.name})],
        "decode",
        [],
        [shape],
        value_info=graph.value_info,
    )
    nothing = numpy_helper.from_array(np.empty((0, *mixture.event_shape), np.float32))
    none = helper.make_graph(
        [helper.make_node("Constant", [], [f"{prefix}none"], value=nothing)],
        "nothing",
        [],
        [_info(f"{prefix}none", mixture.event_shape, axis=None)],
    )
    w = merged.writer
    has_rows = w.one("Greater", w.one("Size", rows), w.constant(np.int64(0)))
    w.name_output(name, "If", has_rows, then_branch=then, else_branch=none)
    merged.value_info.append(_info(name, mixture.event_shape, axis=axis))
    return name


def _inputs(rows: Mapping[str, Sequence[int]], mixture: MixtureShapes) -> list[onnx.ValueInfoProto]:
    infos = [_info(name, shape) for name, shape in rows.items()]
    if mixture.context_columns:
        infos.append(_info("context", (mixture.context_columns,)))
    return infos


def _info(
    name: str, row: Sequence[int], kind: int = TensorProto.FLOAT, axis: str | None = BATCH
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [axis, *row])


def described_graphs(k: int, stated: dict[str, Any], flows: Sequence[Flow]) -> dict[str, Any]:
    """What a manifest states of both graphs of k members: their inputs and outputs."""

    def tensor(*row: int, kind: str = "float32") -> dict[str, Any]:
        return {"type": kind, "row_shape": list(row)}

    x, z = tensor(*stated["event_shape"]), tensor(*stated["latent_shape"])
    context = {} if stated["context"] is None else {"context": tensor(len(stated["context"]))}
    costs = ("sequential", "iterative", "parallel")
    encode_cost = min((flow.encode_cost for flow in flows), key=costs.index)
    # decoded rows are encoded by all members for their log_prob
    decode_cost = min((*(flow.decode_cost for flow in flows), encode_cost), key=costs.index)
    return {
        "encode": {
            "inputs": {"x": x, **context},
            "outputs": {
                "z": z,
                "log_prob": tensor(),
                "member": tensor(kind="int64"),
                "member_log_prob": tensor(k),
                "member_z": tensor(k, *stated["latent_shape"]),
            },
            "cost": encode_cost,
        },
        "decode": {
            "inputs": {"z": z, "member": tensor(kind="int64"), **context},
            "outputs": {"x": x, "log_prob": tensor()},
            "cost": decode_cost,
        },
    }
