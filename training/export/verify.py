"""Comparing exported graphs with the float64 flow that they were made from."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.flow import Flow
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

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Inputs of one direction, and the outputs of the float64 flow.

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
    """

    def __init__(self, flow: Flow, dataset: Dataset) -> None:
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
        self.expected: dict[Direction, Expected] = {"encode": encode, "decode": decode}

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

    def _run(self, direction: Direction, feed: dict[str, Float32]) -> tuple[Float64, Float64]:
        """The outputs of the float64 flow."""
        flow = self.flow
        call, cost = (
            (flow.encode, flow.encode_cost)
            if direction == "encode"
            else (flow.decode, flow.bijection.decode_cost)
        )
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
        log_prob_per_dim: absolute differences of each row at each batch size, in nats.
        batch_sizes: that were tried.
    """

    relative: float
    log_prob_per_dim: Float64
    batch_sizes: list[int]


def verify(direction: Direction, expected: Expected, graph: ServedGraph) -> Errors:
    """Measure how far a graph is from its flow in float64, at each of its batch sizes.

    Args:
        direction: of the graph.
        expected: the outputs of the flow that it was made from.
        graph: that is measured.

    Raises:
        ExportError: a difference is above its bar; all are named. It is raised as soon as the rest
            of the rows cannot change that.
    """
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    for errors in _growing_errors(direction, expected, graph):
        if _is_missed(errors, checks):
            break
    refuse_misses(direction, errors)
    return errors


def preview(direction: Direction, expected: Expected, graph: ServedGraph) -> None:
    """Look at `PREVIEW_ROWS` rows, before anything is done for a graph that cannot pass.

    Raises:
        ExportError: as of `verify`.
    """
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    for errors in _growing_errors(direction, expected, graph):
        if _is_missed(errors, checks):
            refuse_misses(direction, errors)
        if len(errors.log_prob_per_dim) >= PREVIEW_ROWS:
            return


def _growing_errors(
    direction: Direction, expected: Expected, graph: ServedGraph
) -> Iterator[Errors]:
    """The errors of more and more rows."""
    scale = np.ptp(expected.value, axis=0)
    if direction == "encode":
        scale = np.maximum(scale, 1)
    relative, per_dim = 0.0, np.empty(0)
    for part, (value, log_prob) in graph.at_each_size(expected.feed):
        largest = np.abs(value - expected.value[part]).max(0)
        relative = float(np.maximum(relative, (largest / scale).max()))  # which keeps NaN
        difference = np.abs(log_prob - expected.log_prob[part])
        per_dim = np.concatenate([per_dim, difference / expected.value[0].size])
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


def refuse_misses(direction: Direction, errors: Errors) -> None:
    """Raise an ExportError that names the errors of a graph that are above their bars, if any."""
    answer = "z_relative" if direction == "encode" else "x_relative"
    measured = _of_log_prob(errors.log_prob_per_dim) | {answer: errors.relative}
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {BARS[k]:.0e})" for k, v in measured.items() if not v <= BARS[k]]
    if missed:
        raise ExportError(
            f"the exported graph to {direction} misses the float64 reference by more than allowed, "
            f"and nothing was written: {', '.join(missed)}"
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


def _of_log_prob(per_dim: Float64) -> dict[str, float]:
    """Errors of log_prob by their names in `BARS`."""
    return {
        "log_prob_per_dim_p99": float(np.quantile(per_dim, P99)),
        "log_prob_per_dim_max": float(per_dim.max()),
    }
