"""Exported graphs against the float64 flow that they were made from."""

import copy

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from models.flow import Flow
from service.bundle import Tolerances
from training.data import Dataset, Float32
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
    copies = -(-largest // len(dataset.test))  # few rows are taken more than once
    rows = dataset.noisy(np.tile(dataset.test, (copies, 1))[:largest], copies=1, seed=0)[0]
    with torch.no_grad():
        z, log_prob = reference.encode(_double(rows))
        noise = flow.base.sample(len(rows), torch.Generator().manual_seed(0)).numpy()
        latents = np.concatenate([z.numpy().astype(np.float32), noise])
        x, decoded_log_prob = reference.decode(_double(latents))
    z_error, encode_error = _differences(encode, rows, z.numpy(), log_prob.numpy())
    x_error, decode_error = _differences(decode, latents, x.numpy(), decoded_log_prob.numpy())
    per_dim = np.concatenate([encode_error, decode_error]) / rows[0].size
    measured = {
        "log_prob_per_dim_p99": float(np.quantile(per_dim, 0.99)),
        "log_prob_per_dim_max": float(per_dim.max()),
        # coordinate by coordinate; the base's own scale is 1
        "z_relative": float((z_error.max(0) / np.maximum(np.ptp(z.numpy(), axis=0), 1)).max()),
        "x_relative": float((x_error.max(0) / np.ptp(x.numpy(), axis=0)).max()),
    }
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {BARS[k]:.0e})" for k, v in measured.items() if not v <= BARS[k]]
    if missed:
        raise ExportError(
            "the exported graphs miss the float64 reference by more than allowed, and nothing "
            f"was written: {', '.join(missed)}"
        )
    return Tolerances(**measured, batch_sizes=BATCH_SIZES)


def _double(rows: Float32) -> torch.Tensor:
    return torch.from_numpy(rows).double()


def _differences(
    graph: bytes, rows: Float32, value: Float64, log_prob: Float64
) -> tuple[Float64, Float64]:
    """Absolute differences of a graph's two outputs from their references, at every batch size."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    value_errors, log_prob_errors = [], []
    for size in BATCH_SIZES:
        for start in range(0, len(rows), size):
            chosen = slice(start, start + size)
            got, got_log_prob = session.run(None, {source: rows[chosen]})
            value_errors.append(np.abs(got - value[chosen]))
            log_prob_errors.append(np.abs(got_log_prob - log_prob[chosen]))
    return np.concatenate(value_errors), np.concatenate(log_prob_errors)
