"""Comparing exported graphs with the float64 flow that they were made from."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow
from models.layerwise import decode_by_layers
from service.bundle import Direction, SelfTest, Tolerances
from service.runtime import granted_cpus
from training.data import Dataset, Float32
from training.errors import ExportError
from training.export.served_graph import ServedGraph

# Rows of the reference: of held-out rows, and as many of noise.
REFERENCE_ROWS = 256

# Rows of the reference at once: with all rows, wide flows of images need gigabytes in float64.
ROWS_AT_ONCE = 64

# Rows that tell whether a graph is worth more: most that miss the bars miss them in these.
PREVIEW_ROWS = 64

P99 = 0.99
BARS = {
    "log_prob_per_dim_p99": 1e-5,
    "log_prob_per_dim_max": 1e-4,
    "z_relative": 1e-4,
    "x_relative": 1e-4,
}
STATES_BAR = {"states_relative": BARS["x_relative"]}
"""Of points between layers."""

GraphName = Direction | Literal["layers"]

TENSORS: dict[GraphName, tuple[str, str]] = {
    "encode": ("x", "z"),
    "decode": ("z", "x"),
    "layers": ("z", "states"),
}
"""The input and the first output of each graph."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Inputs of one graph, and the outputs of the float64 flow.

    Args:
        feed: the inputs by name, x or z first.
        value, log_prob: the outputs that a graph should have.
    """

    feed: dict[str, Float32]
    value: Float64
    log_prob: Float64

    def rows(self, index: slice) -> dict[str, Float32]:
        """The inputs of some rows."""
        return {name: values[index] for name, values in self.feed.items()}


class Reference:
    """A flow in float64, and its outputs on held-out rows.

    Inputs to encode are held-out rows, with dequantisation noise if there is any; inputs to decode
    are their latents and fresh noise.

    Args:
        flow: the flow, in float32.
        dataset: has the held-out rows.
        with_layers: whether outputs layer by layer are wanted too.
    """

    def __init__(self, flow: Flow, dataset: Dataset, with_layers: bool = False) -> None:
        self.flow = copy.deepcopy(flow).double().eval()
        rows = np.arange(REFERENCE_ROWS) % len(dataset.test)  # repeated where there are fewer
        feed = {"x": dataset.noisy(dataset.test.rows[rows], copies=1, seed=0)[0]}
        if dataset.test.context is not None:
            feed["context"] = dataset.test.context[rows]
        encode = Expected(feed, *self._run("encode", feed))
        noise = flow.base.sample(REFERENCE_ROWS, torch.Generator().manual_seed(0)).numpy()
        latents = np.concatenate([encode.value.astype(np.float32), noise])
        feed = {"z": latents} | {k: np.tile(v, (2, 1)) for k, v in feed.items() if k == "context"}
        decode = Expected(feed, *self._run("decode", feed))
        self.expected: dict[GraphName, Expected] = {"encode": encode, "decode": decode}
        if with_layers:
            self.expected["layers"] = Expected(feed, *self._run("layers", feed))

    def self_test(self) -> SelfTest:
        """The row of median log_prob, with which a server checks its graphs."""
        expected = self.expected["encode"]
        middle = int(np.argsort(expected.log_prob)[len(expected.log_prob) // 2])
        row = {name: rows[middle].ravel().tolist() for name, rows in expected.feed.items()}
        return SelfTest(
            x=row["x"], context=row.get("context"), log_prob=float(expected.log_prob[middle])
        )

    def residual(self, direction: Direction, graph: ServedGraph) -> float:
        """The error of a round trip: through a graph, and back through the float64 flow.

        Args:
            direction: of the graph.
            graph: that is measured.

        Returns:
            The largest difference, as a fraction of the input's range (1 at least).
        """
        feed = self.expected[direction].feed
        source, inputs = next(iter(feed.items()))
        answer, _ = graph.run_in_batches(feed)
        back, _ = self._run("decode" if source == "x" else "encode", feed | {source: answer})
        return float(np.abs(back - inputs).max() / max(1.0, np.ptp(inputs)))

    def _run(self, name: GraphName, feed: dict[str, Float32]) -> tuple[Float64, Float64]:
        """The outputs of the float64 flow."""
        flow = self.flow
        calls: dict[GraphName, Callable[..., tuple[Tensor, Tensor]]] = {
            "encode": flow.encode,
            "decode": flow.decode,
            "layers": partial(decode_by_layers, flow),
        }
        call, cost = calls[name], flow.encode_cost if name == "encode" else flow.decode_cost
        inputs = [torch.split(torch.from_numpy(v).double(), ROWS_AT_ONCE) for v in feed.values()]
        with torch.no_grad(), torch_threads(granted_cpus() if cost == "parallel" else 1):
            answers = [call(*batch) for batch in zip(*inputs, strict=True)]
        value, log_prob = (torch.cat(batches).numpy() for batches in zip(*answers, strict=True))
        return value, log_prob


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Compute with so many threads: steps of small operators take 40 times as long with two.

    Each waits for the other at the end of every operator, and takes a core from whoever has work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Errors:
    """The differences between the outputs of a graph and those of its flow in float64.

    Args:
        relative: largest difference of a coordinate, as a fraction of its range; the range of
            latents, whose base has scale 1, counts as 1 at least.
        log_prob_per_dim: absolute differences of each row at each batch size, in nats; of layers
            the largest of a row.
        batch_sizes: that were tried.
    """

    relative: float
    log_prob_per_dim: Float64
    batch_sizes: list[int]


def verify(name: GraphName, expected: Expected, graph: ServedGraph) -> Errors:
    """Measure how far a graph is from its flow in float64, at each of its batch sizes.

    Args:
        name: of the graph.
        expected: the outputs of the flow that it was made from.
        graph: that is measured.

    Raises:
        ExportError: a difference is above its bar; all are named. It is raised as soon as the rest
            of the rows cannot change that.
    """
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    for errors in _growing_errors(name, expected, graph):
        if _is_missed(errors, checks):
            break
    refuse_misses(name, errors)
    return errors


def preview(name: GraphName, expected: Expected, graph: ServedGraph) -> None:
    """Look at `PREVIEW_ROWS` rows, before anything is done for a graph that cannot pass.

    Raises:
        ExportError: as of `verify`.
    """
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    for errors in _growing_errors(name, expected, graph):
        if _is_missed(errors, checks):
            refuse_misses(name, errors)
        if len(errors.log_prob_per_dim) >= PREVIEW_ROWS:
            return


def _growing_errors(name: GraphName, expected: Expected, graph: ServedGraph) -> Iterator[Errors]:
    """The errors of more and more rows."""
    scale = np.ptp(expected.value, axis=0)
    if name == "encode":
        scale = np.maximum(scale, 1)
    dimensions = next(iter(expected.feed.values()))[0].size
    relative, per_dim = 0.0, np.empty(0)
    for part, (value, log_prob) in graph.at_each_size(expected.feed):
        largest = np.abs(value - expected.value[part]).max(0)
        relative = float(np.maximum(relative, (largest / scale).max()))  # which keeps NaN
        difference = np.abs(log_prob - expected.log_prob[part]).reshape(len(log_prob), -1).max(1)
        per_dim = np.concatenate([per_dim, difference / dimensions])
        yield Errors(relative, per_dim, graph.batch_sizes)


def _is_missed(errors: Errors, checks: int) -> bool:
    """Whether errors of some rows tell that those of all `checks` miss a bar.

    A quantile lies between two errors in their order: where so many are above the bar that the
    lower one is, whatever else comes, the quantile is.
    """
    many = checks - math.floor(P99 * (checks - 1))
    return not (
        errors.relative <= min(BARS["z_relative"], BARS["x_relative"])
        and errors.log_prob_per_dim.max() <= BARS["log_prob_per_dim_max"]
        and (errors.log_prob_per_dim > BARS["log_prob_per_dim_p99"]).sum() < many
    )


def refuse_misses(name: GraphName, errors: Errors) -> None:
    """Raise an ExportError that names the errors of a graph that are above their bars, if any."""
    answer = f"{TENSORS[name][1]}_relative"
    measured, bars = _of_log_prob(errors.log_prob_per_dim), BARS | STATES_BAR
    measured[answer] = errors.relative
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {bars[k]:.0e})" for k, v in measured.items() if not v <= bars[k]]
    if missed:
        what = "of layers" if name == "layers" else f"to {name}"
        raise ExportError(
            f"the exported graph {what} misses the float64 reference by more than allowed, and "
            f"nothing was written: {', '.join(missed)}"
        )


def tolerances(encode: Errors, decode: Errors) -> Tolerances:
    """The errors of both directions, as a manifest states them."""
    log_prob_per_dim = np.concatenate([encode.log_prob_per_dim, decode.log_prob_per_dim])
    return Tolerances(
        **_of_log_prob(log_prob_per_dim),
        z_relative=encode.relative,
        x_relative=decode.relative,
        batch_sizes=sorted({*encode.batch_sizes, *decode.batch_sizes}),
    )


def layer_tolerances(errors: Errors) -> dict[str, float]:
    """The errors of the graph of layers, as a manifest states them."""
    return _of_log_prob(errors.log_prob_per_dim) | {"states_relative": errors.relative}


def _of_log_prob(per_dim: Float64) -> dict[str, float]:
    """Errors of log_prob by their names in `BARS`."""
    return {
        "log_prob_per_dim_p99": float(np.quantile(per_dim, P99)),
        "log_prob_per_dim_max": float(per_dim.max()),
    }
