"""Untrained masked autoregressive flows as bundles, for timing servers.

    python -m tests.benchmarks.serving.models FOLDER

writes FOLDER/43/store/maf/1 and FOLDER/784/store/maf/1: five layers with two hidden layers of 512
and of 1024 units, as large as the flows that ../shared/bench/serving makes for itself.
"""

import sys
from pathlib import Path

import torch

from tests.helpers.bundles import export_flow
from tests.laws.zoo_table import Line, randomise

HIDDEN = {43: 512, 784: 1024}


def write_store(dimensions: int, folder: Path) -> None:
    """Export an untrained flow of so many dimensions as folder/store/maf/1."""
    options = {"transforms": 5, "hidden": [HIDDEN[dimensions]] * 2}
    line = Line("maf", (dimensions,), options)
    flow = line.flow().eval()
    randomise(flow, 0.02)
    export_flow(flow, line, torch.randn(512, dimensions).numpy(), None, folder / "store" / "maf")


if __name__ == "__main__":
    for dimensions in map(int, sys.argv[2:] or HIDDEN):
        write_store(dimensions, Path(sys.argv[1]) / str(dimensions))
