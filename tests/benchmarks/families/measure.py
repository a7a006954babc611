"""What the table of families says of one flow: errors, sizes and times."""

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow

Float64 = NDArray[np.float64]

JACOBIAN_ROWS = 16
TIMED_ROWS = 256
TIMED_RUNS = 30

# Cells to a side of the box that an integral starts and ends with, and what the halving of a cell
# may move it by for the cell not to be halved again.
FIRST_CELLS, MOST_CELLS = 256, 65536
STILL = 1e-9


def errors(flow: Flow, x: Tensor, noise: Tensor) -> dict[str, float]:
    """How far a flow is from its laws, on rows that it accepts and on latents.

    Args:
        flow: in float32; a copy of it is measured in float64.
        x, noise: rows and latents, float32.

    Returns:
        Largest round-trip error of both directions, as a part of the range of x or z, in float32
        and float64; that of float32 beyond 4·eps·‖J⁻¹‖·‖x‖ (`excess`: 0 where conditioning
        explains it); log-determinant errors in nats per dimension: float64 against autograd's
        Jacobian, and float32 against float64.
    """
    exact = copy.deepcopy(flow).double().eval()
    single = copy.deepcopy(flow).float().eval()
    found: dict[str, float] = {}
    with torch.no_grad():
        for name, made, dtype in (("32", single, torch.float32), ("64", exact, torch.float64)):
            rows, latents = x.to(dtype), noise.to(dtype)
            z, log_prob = made.encode(rows)
            back, decoded = made.decode(z)
            out, there = made.decode(latents)
            again, home = made.encode(out)
            x_error, z_error = (back - rows).abs(), (again - latents).abs()
            found[f"x_{name}"] = float(x_error.max() / spread(rows))
            found[f"z_{name}"] = float(z_error.max() / spread(latents))
            pair = torch.stack([(log_prob - decoded).abs().max(), (there - home).abs().max()])
            found[f"log_prob_{name}"] = float(pair.max() / rows[0].numel())
            if name == "32":
                worst = {"x": x_error.flatten(1).amax(1), "z": z_error.flatten(1).amax(1)}
                scores, points = log_prob.double(), {"x": rows, "z": out}
        exact_scores = exact.encode(x.double())[1]
    per_dim = (scores - exact_scores).abs() / x[0].numel()
    found["log_prob_32_to_64"] = float(per_dim.max())
    found["log_det_64"] = _log_det_error(exact, x.double()[:JACOBIAN_ROWS])
    found |= _beyond_conditioning(exact, points, worst, (spread(x), spread(noise)))
    return found


def spread(values: Tensor) -> float:
    """Range of the values, at least 1."""
    return max(1.0, float(values.max() - values.min()))


def jacobian(flow: Flow, row: Tensor, encode: bool = True) -> Tensor:
    """Jacobian of a direction at one row, D × D, by autograd."""
    go = flow.bijection.encode if encode else flow.bijection.decode
    found = torch.autograd.functional.jacobian(lambda v: go(v[None])[0][0].flatten(), row)
    assert isinstance(found, Tensor)
    return found.reshape(row.numel(), -1)


def _log_det_error(exact: Flow, rows: Tensor) -> float:
    """Largest difference of both directions' log-determinants from autograd's, nats per dim."""
    worst = 0.0
    with torch.no_grad():
        z, forth = exact.bijection.encode(rows)
        _, back = exact.bijection.decode(z)
    for i in range(len(rows)):
        for log_det, row, encode in ((forth[i], rows[i], True), (back[i], z[i], False)):
            expected = torch.linalg.slogdet(jacobian(exact, row, encode)).logabsdet
            worst = max(worst, float((log_det - expected).abs()) / rows[0].numel())
    return worst


def _beyond_conditioning(
    exact: Flow, points: dict[str, Tensor], worst: dict[str, Tensor], ranges: tuple[float, float]
) -> dict[str, float]:
    """What is left of the float32 round trips' worst rows after the bar that conditioning sets."""
    eps = torch.finfo(torch.float32).eps
    found = {}
    for name, scale in zip(("x", "z"), ranges, strict=True):
        # x → z → x loses what the decoding Jacobian makes of z's rounding, and the other way about
        left = 0.0
        for i in worst[name].argsort(descending=True)[:JACOBIAN_ROWS].tolist():
            encode_jacobian = jacobian(exact, points[name][i].double())
            singular = torch.linalg.svdvals(encode_jacobian)
            gain = float(1 / singular.min() if name == "x" else singular.max())
            bar = max(1e-4 * scale, 4 * eps * gain * float(points[name][i].norm()))
            left = max(left, float(worst[name][i]) - bar)
        found[f"{name}_32_excess"] = left / scale
    return found


def graph(path: Path, shape: tuple[int, ...]) -> dict[str, float]:
    """Size of an ONNX file in KiB, and median milliseconds for `TIMED_ROWS` rows on one thread."""
    session = open_graph(path)
    name = session.get_inputs()[0].name
    rows = np.random.default_rng(0).standard_normal((TIMED_ROWS, *shape)).astype(np.float32)
    session.run(None, {name: rows})
    seconds = []
    for _ in range(TIMED_RUNS):
        start = time.perf_counter()
        session.run(None, {name: rows})
        seconds.append(time.perf_counter() - start)
    return {"kib": path.stat().st_size / 1024, "ms": 1e3 * float(np.median(seconds))}


def open_graph(path: Path) -> onnxruntime.InferenceSession:
    """A session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def integral(encode: Path, decode: Path, noise: NDArray[np.float32]) -> dict[str, Any]:
    """Mass of a 2-D density by quadrature through its graphs.

    The box holds the flow's own samples but one in ten thousand; what lies outside is counted
    by them. Cells of a grid are halved both ways, those again whose halving moved them, until the
    halving of every cell moves the integral by less than 1e-4.

    Args:
        encode, decode: ONNX files.
        noise: draws from the base, N × 2.

    Returns:
        The mass, what the last halving moved, the smallest cells' number to a side of the box,
        and the mass outside the box.
    """
    encoder, decoder = open_graph(encode), open_graph(decode)
    parts = np.array_split(noise, max(1, len(noise) // 4096))
    x = np.concatenate([decoder.run(None, {"z": part})[0] for part in parts])
    low, high = (np.quantile(x, q, axis=0).astype(np.float64) for q in (5e-5, 1 - 5e-5))
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    outside = float(((x < low) | (x > high)).any(1).mean())
    n = FIRST_CELLS
    middle = (np.indices((n, n)).reshape(2, -1).T + 0.5) / n
    mass = _mass(encoder, middle, n, low, high)
    settled, moved = 0.0, 0.0
    while True:
        n *= 2
        corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) / (2 * n)
        children = (middle[:, None] + corners).reshape(-1, 2)
        halved = _mass(encoder, children, n, low, high)
        after = halved.reshape(-1, 4).sum(1)
        change = moved + float((after - mass).sum())
        if abs(change) < 1e-4 or n >= MOST_CELLS:
            inside = settled + float(after.sum())
            return {
                "integral": inside + outside,
                "change": abs(change),
                "grid": n,
                "outside": outside,
            }
        still = np.abs(after - mass) < STILL
        settled, moved = (
            settled + float(after[still].sum()),
            moved + float((after - mass)[still].sum()),
        )
        middle, mass = (
            children.reshape(-1, 4, 2)[~still].reshape(-1, 2),
            halved.reshape(-1, 4)[~still].ravel(),
        )


def _mass(
    encoder: onnxruntime.InferenceSession, middle: Float64, n: int, low: Float64, high: Float64
) -> Float64:
    """Mass of cells by the midpoint rule, n to a side of the box; middles in parts of the box."""
    x = (low + middle * (high - low)).astype(np.float32)
    parts = np.array_split(x, max(1, len(x) // 65536))
    log_prob = np.concatenate([encoder.run(None, {"x": part})[1] for part in parts])
    mass: Float64 = np.exp(log_prob.astype(np.float64)) * float(np.prod((high - low) / n))
    return mass
