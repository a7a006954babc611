"""Exported graphs against the float64 flow that they were made from."""

import copy
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

# Of the reference: wide flows of images take gigabytes for all in float64.
ROWS_AT_ONCE = 64

# What is asked one by one: of long rows, which take seconds each where they go value by value,
# fewer.
VALUES_ONE_BY_ONE, FEWEST_ONE_BY_ONE = 2**17, 16

BARS = {
    "log_prob_per_dim_p99": 1e-5,
    "log_prob_per_dim_max": 1e-4,
    "z_relative": 1e-4,
    "x_relative": 1e-4,
}

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Inputs of one direction, and what the float64 flow makes of them.

    Args:
        feed: the inputs by name, x or z first.
        value, log_prob: what a graph should give.
    """

    feed: dict[str, Float32]
    value: Float64
    log_prob: Float64

    def part(self, chosen: slice) -> dict[str, Float32]:
        """Some of the rows."""
        return {name: rows[chosen] for name, rows in self.feed.items()}


class Reference:
    """A flow in float64, and what it gives on held-out rows.

    Encoding takes held-out rows, with dequantisation noise where there is any; decoding takes
    their latents and fresh noise.

    Args:
        flow: the flow, in float32.
        dataset: where the held-out rows are.
    """

    def __init__(self, flow: Flow, dataset: Dataset) -> None:
        self.flow = copy.deepcopy(flow).double().eval()
        largest = BATCH_SIZES[-1]
        chosen = np.arange(largest) % len(dataset.test)  # few rows are taken more than once
        feed = {"x": dataset.noisy(dataset.test.rows[chosen], copies=1, seed=0)[0]}
        if dataset.test.context is not None:
            feed["context"] = dataset.test.context[chosen]
        encode = Expected(feed, *self._run("encode", feed))
        noise = flow.base.sample(largest, torch.Generator().manual_seed(0)).numpy()
        latents = np.concatenate([encode.value.astype(np.float32), noise])
        feed = {"z": latents} | {k: np.tile(v, (2, 1)) for k, v in feed.items() if k == "context"}
        decode = Expected(feed, *self._run("decode", feed))
        self.expected: dict[Direction, Expected] = {"encode": encode, "decode": decode}

    def self_test(self) -> SelfTest:
        """The row of middling log_prob, which a server tries its graphs on."""
        expected = self.expected["encode"]
        middle = int(np.argsort(expected.log_prob)[len(expected.log_prob) // 2])
        row = {name: rows[middle].ravel().tolist() for name, rows in expected.feed.items()}
        return SelfTest(
            x=row["x"], context=row.get("context"), log_prob=float(expected.log_prob[middle])
        )

    def residual(self, direction: Direction, graph: bytes) -> float:
        """How far what a graph was given is from what the way back makes of its answer.

        Args:
            direction: of the graph.
            graph: ONNX file.

        Returns:
            The largest difference, as a part of the input's range (1 at least).
        """
        feed = self.expected[direction].feed
        source, given = next(iter(feed.items()))
        answer, _ = _session(graph).run(None, feed)
        back, _ = self._run("decode" if source == "x" else "encode", feed | {source: answer})
        return float(np.abs(back - given).max() / max(1.0, np.ptp(given)))

    def _run(self, direction: Direction, feed: dict[str, Float32]) -> tuple[Float64, Float64]:
        go = self.flow.encode if direction == "encode" else self.flow.decode
        inputs = [torch.split(torch.from_numpy(v).double(), ROWS_AT_ONCE) for v in feed.values()]
        with torch.no_grad():
            parts = [go(*part) for part in zip(*inputs, strict=True)]
        value, log_prob = (torch.cat(answers).numpy() for answers in zip(*parts, strict=True))
        return value, log_prob


@dataclass(frozen=True)
class Errors:
    """How far a graph's answers are from what its flow in float64 makes of the same inputs.

    Args:
        relative: largest difference of a coordinate, as a part of its range; of latents, whose
            base has scale 1, at least 1.
        log_prob_per_dim: absolute differences, of each row at each batch size.
    """

    relative: float
    log_prob_per_dim: Float64


def verify(direction: Direction, expected: Expected, graph: bytes) -> Errors:
    """Measure how far a graph is from its flow in float64, at each of `BATCH_SIZES`.

    Args:
        direction: of the graph.
        expected: of the flow that it was made from.
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
    answer = "z_relative" if direction == "encode" else "x_relative"
    measured = _of_log_prob(errors.log_prob_per_dim) | {answer: errors.relative}
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {BARS[k]:.0e})" for k, v in measured.items() if not v <= BARS[k]]
    if missed:
        raise ExportError(
            f"the exported graph to {direction} misses the float64 reference by more than allowed, "
            f"and nothing was written: {', '.join(missed)}"
        )
    return errors


def tolerances(encode: Errors, decode: Errors) -> Tolerances:
    """What a manifest says of both directions' errors."""
    together = np.concatenate([encode.log_prob_per_dim, decode.log_prob_per_dim])
    return Tolerances(
        **_of_log_prob(together),
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


def _session(graph: bytes) -> Any:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def _differences(graph: bytes, expected: Expected) -> tuple[Float64, Float64]:
    """Absolute differences of a graph's two outputs from their references, at every batch size."""
    session = _session(graph)
    value_errors, log_prob_errors = [], []
    rows = len(expected.value)
    one_by_one = max(FEWEST_ONE_BY_ONE, VALUES_ONE_BY_ONE // expected.value[0].size)
    for size in BATCH_SIZES:
        for start in range(0, min(rows, one_by_one) if size == 1 else rows, size):
            chosen = slice(start, start + size)
            got, got_log_prob = session.run(None, expected.part(chosen))
            value_errors.append(np.abs(got - expected.value[chosen]))
            log_prob_errors.append(np.abs(got_log_prob - expected.log_prob[chosen]))
    return np.concatenate(value_errors), np.concatenate(log_prob_errors)
