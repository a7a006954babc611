"""Cells of the table of inverses: every side's time at one size and batch, taken in turns."""

import math
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import nn

from models import zoo
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.inverse.ours import graphs, served
from tests.benchmarks.inverse.peers import peers

LAYERS = 5
SIZES = {6: 128, 43: 512, 784: 1024}
BATCHES = (1, 16, 256, 1024)

# Here the peers take minutes: they run one of their equal layers, so many times by batch.
LARGE = 784
LARGE_CALLS = {1: 3, 16: 3, 256: 1, 1024: 1}

ONNX, TORCH, PARALLEL = "ours (ONNX)", "ours (torch)", "our parallel direction (ONNX)"


@dataclass(frozen=True)
class Cell:
    """One line of the table.

    Args:
        features, hidden, batch: D, units of each hidden layer, rows.
        seconds: median of each side's calls.
        calls: how many there were.
    """

    features: int
    hidden: int
    batch: int
    seconds: dict[str, float]
    calls: dict[str, int]

    @property
    def ratios(self) -> dict[str, float]:
        """How many times our ONNX graph's time each side took."""
        return {side: taken / self.seconds[ONNX] for side, taken in self.seconds.items()}


class Size:
    """Every side's flow of one size, freshly initialised, on a device.

    Args:
        features, hidden: D, units of each hidden layer.
        device: `cpu` or `cuda`.
    """

    def __init__(self, features: int, hidden: int, device: str) -> None:
        torch.manual_seed(0)
        self.features, self.hidden, self.device = features, hidden, device
        # from zero, every layer would be the identity, and no other library starts so
        options = {"transforms": LAYERS, "hidden": (hidden, hidden), "zero_start": False}
        self._flow = zoo.build("maf", (features,), options=options).eval()
        self.graphs = graphs(self._flow)
        self._decode = served(self.graphs.decode, device)
        self._encode = served(self.graphs.encode, device)
        self._flow.to(device)
        self._scale = 1 if features < LARGE else LAYERS
        self._peers = peers(features, hidden, LAYERS // self._scale)
        for peer in self._peers.values():
            peer.module.to(device)

    @property
    def parameters(self) -> dict[str, int]:
        """How many each side's five layers have, masked ones included."""
        counts = {name: self._scale * _count(peer.module) for name, peer in self._peers.items()}
        return {"ours": _count(self._flow), **counts}

    def cell(self, batch: int) -> Cell:
        """Time every side at a batch."""
        taken = in_turns(self._sides(batch), self.device)
        return Cell(
            self.features,
            self.hidden,
            batch,
            {name: median(seconds) for name, seconds in taken.items()},
            {name: len(seconds) for name, seconds in taken.items()},
        )

    def _sides(self, batch: int) -> dict[str, Side]:
        noise = torch.randn(batch, self.features, generator=torch.Generator().manual_seed(batch))
        on_device, rows = noise.to(self.device), noise.numpy()
        sides = {
            ONNX: Side(lambda: self._decode({"z": rows})),
            TORCH: Side(lambda: self._flow.decode(on_device)),
        }
        calls = LARGE_CALLS[batch] if self.features >= LARGE else math.inf
        for name, peer in self._peers.items():
            sides[name] = Side(partial(peer.invert, on_device), calls, self._scale)
        return sides | {PARALLEL: Side(lambda: self._encode({"x": rows}))}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
