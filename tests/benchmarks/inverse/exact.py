"""Fast inversion of a trained flow: how far from plain inversion in float64, and how long."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.bijection import Bijection, Compose
from models.flow import Flow
from models.layers.autoregressive import MaskedAutoregressive
from models.numerics.folding import fold
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.inverse.measure import ONNX, PARALLEL, TORCH
from tests.benchmarks.inverse.ours import graphs, served
from tests.helpers.shared_data import SHARED
from training.commands import fit_run
from training.config.recipe import Recipe
from training.data import load as data
from training.data.dataset import Dataset
from training.runs.lifecycle import open_or_create

MNIST = SHARED / "mnist" / "t10k-images-idx3-ubyte.gz"
ROWS = 64

# Sweeps of an inverse stop when nothing changes: how many it takes depends on the weights.
TIMED_ROWS = 256


@dataclass(frozen=True)
class Trained:
    """What was measured of a trained flow.

    Args:
        data: what it was trained on.
        dimensions: of a row.
        inverse: how its decode graph inverts.
        errors: largest error of x, as a part of its range, at the latents of held-out rows.
        seconds: median of each side's calls for `TIMED_ROWS` samples.
    """

    data: str
    dimensions: int
    inverse: str
    errors: dict[str, float]
    seconds: dict[str, float]


def trained(folder: Path, threads: int) -> tuple[Flow, Dataset]:
    """A MAF of five layers trained for a minute or two, kept in the folder: of MNIST or digits.

    MNIST is its file of 10,000 images, where the shared data lie; 8,000 of them are trained on.
    """
    known = MNIST.is_file()
    chosen = Recipe.model_validate(
        {
            "data": {"source": str(MNIST) if known else "digits", "integers": "dequantize"},
            "flow": {
                "family": "maf",
                "preprocessing": "soft-logit",
                "hidden": [1024, 1024] if known else [512, 512],
            },
            "fit": {
                "epochs": 5 if known else 30,
                "batch_size": 256,
                "schedule": "cosine",
                "noise_copies": 1,
                "threads": threads,
            },
        }
    )
    name = "mnist" if known else "digits"
    dataset = data.load_dataset(chosen.data)
    run = open_or_create(folder / name, name, chosen, dataset)
    fit_run(run, dataset, torch.device("cpu"))
    return run.best_flow(), dataset


def measure(flow: Flow, dataset: Dataset, device: str) -> Trained:
    """Errors and times of a trained flow.

    Args:
        flow: in float32, on the CPU.
        dataset: its data.
        device: `cpu` or `cuda`, where ours run; the reference runs on the CPU.
    """
    made = graphs(flow)
    decode, encode = (served(content, device) for content in (made.decode, made.encode))
    ours = copy.deepcopy(flow).to(device)
    x = torch.from_numpy(dataset.noisy(dataset.test.rows[:ROWS], 1, seed=0)[0])
    with torch.no_grad():
        z, _ = flow.encode(x)
        expected = inverted(flow, z)
        in_torch, _ = ours.decode(z.to(device))
    found = {ONNX: decode({"z": z.numpy()})[0], TORCH: in_torch.cpu().numpy()}
    error = {side: np.abs(values - expected.numpy()).max() for side, values in found.items()}
    noise = flow.base.sample(TIMED_ROWS, torch.Generator().manual_seed(0))
    there, rows = noise.to(device), noise.numpy()
    sides = {
        ONNX: Side(lambda: decode({"z": rows})),
        TORCH: Side(lambda: ours.decode(there)),
        PARALLEL: Side(lambda: encode({"x": rows})),
    }
    return Trained(
        data="MNIST" if dataset.name == MNIST.name else dataset.name,
        dimensions=math.prod(dataset.event_shape),
        inverse=made.inverse,
        errors={side: float(worst / np.ptp(expected.numpy())) for side, worst in error.items()},
        seconds={side: median(taken) for side, taken in in_turns(sides, device).items()},
    )


def inverted(flow: Flow, z: Tensor) -> Tensor:
    """Invert in float64, by one pass of the network a dimension: batch × D → batch × D.

    It shares the networks and the univariate maps with `Flow.decode`, and nothing of how an
    autoregressive layer decodes.
    """
    exact = copy.deepcopy(flow).double()
    fold(exact)
    assert isinstance(exact.bijection, Compose)
    x = z.double()
    layers = list(exact.bijection.layers)[::-1]
    for layer in tqdm(layers, "float64 inversion", unit="layer"):
        assert isinstance(layer, Bijection)
        if not isinstance(layer, MaskedAutoregressive):
            x, _ = layer.decode(x)
            continue
        z, x = x, torch.zeros_like(x)
        for i in layer.order.tolist():
            x[:, i] = layer.univariate.decode(z[:, i], layer.theta(x)[:, i])[0]
    return x
