"""Exported graphs against the float64 flow that they were made from."""

import copy
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from models.flow import Flow
from service.bundle import Tolerances
from training.context import Float32
from training.data import Dataset
from training.errors import ExportError

BATCH_SIZES = [1, 17, 256]
BARS = {
    "log_prob_per_dim_p99": 1e-5,
    "log_prob_per_dim_max": 1e-4,
    "z_relative": 1e-4,
    "x_relative": 1e-4,
}

Float64 = NDArray[np.float64]


def verify(flow: Flow, encode: bytes, decode: bytes, dataset: Dataset) -> Tolerances:
    """Measure how far two graphs are from their flow in float64, on held-out rows.

    Each graph runs at every batch size of `BATCH_SIZES`. Encoding takes held-out rows, with
    dequantisation noise where there is any; decoding takes their latents and fresh noise.

    Args:
        flow: the flow that the graphs were made from, in float32.
        encode, decode: ONNX files.
        dataset: where the held-out rows are.

    Raises:
        ExportError: a difference is above its bar; all are named.
    """
    reference = copy.deepcopy(flow).double().eval()
    largest = BATCH_SIZES[-1]
    chosen = np.arange(largest) % len(dataset.test)  # few rows are taken more than once
    rows = dataset.noisy(dataset.test[chosen], copies=1, seed=0)[0]
    encoded = _Inputs("x", rows, None if (c := dataset.test_context) is None else c[chosen])
    noise = flow.base.sample(largest, torch.Generator().manual_seed(0)).numpy()
    with torch.no_grad():
        z, log_prob = (t.numpy() for t in reference.encode(*encoded.double()))
        latents = np.concatenate([z.astype(np.float32), noise])
        twice = None if encoded.context is None else np.tile(encoded.context, (2, 1))
        decoded = _Inputs("z", latents, twice)
        x, decoded_log_prob = (t.numpy() for t in reference.decode(*decoded.double()))
    z_error, encode_error = _differences(encode, encoded, z, log_prob)
    x_error, decode_error = _differences(decode, decoded, x, decoded_log_prob)
    per_dim = np.concatenate([encode_error, decode_error]) / rows[0].size
    measured = {
        "log_prob_per_dim_p99": float(np.quantile(per_dim, 0.99)),
        "log_prob_per_dim_max": float(per_dim.max()),
        # coordinate by coordinate; the base's own scale is 1
        "z_relative": float((z_error.max(0) / np.maximum(np.ptp(z, axis=0), 1)).max()),
        "x_relative": float((x_error.max(0) / np.ptp(x, axis=0)).max()),
    }
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {BARS[k]:.0e})" for k, v in measured.items() if not v <= BARS[k]]
    if missed:
        raise ExportError(
            "the exported graphs miss the float64 reference by more than allowed, and nothing "
            f"was written: {', '.join(missed)}"
        )
    return Tolerances(**measured, batch_sizes=BATCH_SIZES)


@dataclass(frozen=True)
class _Inputs:
    """What a graph is run on: its first input by name, and the context where there is one."""

    name: str
    rows: Float32
    context: Float32 | None

    def double(self) -> tuple[torch.Tensor, ...]:
        """The same for the reference."""
        arrays = [self.rows] if self.context is None else [self.rows, self.context]
        return tuple(torch.from_numpy(array).double() for array in arrays)

    def feed(self, chosen: slice) -> dict[str, Float32]:
        """Some of the rows for a session."""
        beside = {} if self.context is None else {"context": self.context[chosen]}
        return {self.name: self.rows[chosen], **beside}


def _differences(
    graph: bytes, inputs: _Inputs, value: Float64, log_prob: Float64
) -> tuple[Float64, Float64]:
    """Absolute differences of a graph's two outputs from their references, at every batch size."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    value_errors, log_prob_errors = [], []
    for size in BATCH_SIZES:
        for start in range(0, len(inputs.rows), size):
            chosen = slice(start, start + size)
            got, got_log_prob = session.run(None, inputs.feed(chosen))
            value_errors.append(np.abs(got - value[chosen]))
            log_prob_errors.append(np.abs(got_log_prob - log_prob[chosen]))
    return np.concatenate(value_errors), np.concatenate(log_prob_errors)
