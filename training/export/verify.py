"""Comparing exported graphs with the float64 flow that they were made from."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from models.flow import Flow
from service.bundle import Direction, SelfTest, Tolerances
from training.data import Dataset, Float32
from training.errors import ExportError

BATCH_SIZES = [1, 17, 256]

# Rows of the reference at once: with all rows, wide flows of images need gigabytes in float64.
ROWS_AT_ONCE = 64

# How many rows are computed one by one: MAX_SINGLE_VALUES in all, but MIN_SINGLE_ROWS of long rows,
# which take seconds each if they are computed value by value.
MAX_SINGLE_VALUES, MIN_SINGLE_ROWS = 2**17, 16

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
        largest = BATCH_SIZES[-1]
        rows = np.arange(largest) % len(dataset.test)  # repeated where there are fewer
        feed = {"x": dataset.noisy(dataset.test.rows[rows], copies=1, seed=0)[0]}
        if dataset.test.context is not None:
            feed["context"] = dataset.test.context[rows]
        encode = Expected(feed, *self._run("encode", feed))
        noise = flow.base.sample(largest, torch.Generator().manual_seed(0)).numpy()
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

    def residual(self, direction: Direction, graph: bytes) -> float:
        """The error of a round trip: through a graph, and back through the float64 flow.

        Args:
            direction: of the graph.
            graph: ONNX file.

        Returns:
            The largest difference, as a fraction of the input's range (1 at least).
        """
        feed = self.expected[direction].feed
        source, inputs = next(iter(feed.items()))
        answer, _ = _session(graph).run(None, feed)
        back, _ = self._run("decode" if source == "x" else "encode", feed | {source: answer})
        return float(np.abs(back - inputs).max() / max(1.0, np.ptp(inputs)))

    def _run(self, direction: Direction, feed: dict[str, Float32]) -> tuple[Float64, Float64]:
        """The outputs of the float64 flow."""
        call = self.flow.encode if direction == "encode" else self.flow.decode
        inputs = [torch.split(torch.from_numpy(v).double(), ROWS_AT_ONCE) for v in feed.values()]
        with torch.no_grad():
            answers = [call(*batch) for batch in zip(*inputs, strict=True)]
        value, log_prob = (torch.cat(batches).numpy() for batches in zip(*answers, strict=True))
        return value, log_prob


@dataclass(frozen=True)
class Errors:
    """The differences between the outputs of a graph and those of its flow in float64.

    Args:
        relative: largest difference of a coordinate, as a fraction of its range; the range of
            latents, whose base has scale 1, counts as 1 at least.
        log_prob_per_dim: absolute differences of each row at each batch size, in nats.
    """

    relative: float
    log_prob_per_dim: Float64


def verify(direction: Direction, expected: Expected, graph: bytes) -> Errors:
    """Measure how far a graph is from its flow in float64, at each of `BATCH_SIZES`.

    Args:
        direction: of the graph.
        expected: the outputs of the flow that it was made from.
        graph: ONNX file.

    Raises:
        ExportError: a difference is above its bar; all are named.
    """
    value_errors, log_prob_errors = _differences(graph, expected)
    scale = np.ptp(expected.value, axis=0)
    if direction == "encode":
        scale = np.maximum(scale, 1)
    errors = Errors(
        relative=float((value_errors.max(0) / scale).max()),
        log_prob_per_dim=log_prob_errors / expected.value[0].size,
    )
    refuse_misses(direction, errors)
    return errors


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
        batch_sizes=BATCH_SIZES,
    )


def _of_log_prob(per_dim: Float64) -> dict[str, float]:
    """Errors of log_prob by their names in `BARS`."""
    return {
        "log_prob_per_dim_p99": float(np.quantile(per_dim, 0.99)),
        "log_prob_per_dim_max": float(per_dim.max()),
    }


def run_in_batches(graph: bytes, feed: Mapping[str, Float32]) -> tuple[Float32, Float32]:
    """The two outputs of a graph, in batches of the largest size."""
    session, rows = _session(graph), len(next(iter(feed.values())))
    answers = [
        session.run(None, {k: v[start : start + BATCH_SIZES[-1]] for k, v in feed.items()})
        for start in range(0, rows, BATCH_SIZES[-1])
    ]
    value, log_prob = (np.concatenate(batches) for batches in zip(*answers, strict=True))
    return value, log_prob


def _session(graph: bytes) -> Any:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def _differences(graph: bytes, expected: Expected) -> tuple[Float64, Float64]:
    """Absolute differences of a graph's two outputs from their references, at every batch size."""
    session = _session(graph)
    value_errors, log_prob_errors = [], []
    rows = len(expected.value)
    single_rows = max(MIN_SINGLE_ROWS, MAX_SINGLE_VALUES // expected.value[0].size)
    for size in BATCH_SIZES:
        for start in range(0, min(rows, single_rows) if size == 1 else rows, size):
            index = slice(start, start + size)
            value, log_prob = session.run(None, expected.rows(index))
            value_errors.append(np.abs(value - expected.value[index]))
            log_prob_errors.append(np.abs(log_prob - expected.log_prob[index]))
    return np.concatenate(value_errors), np.concatenate(log_prob_errors)
