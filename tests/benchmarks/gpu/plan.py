"""What is checked, at full size on a GPU and at toy size, as a rehearsal, on a CPU."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.flow import Flow
from tests.helpers.bundles import export_flow
from tests.laws.zoo_table import Line, randomise

STORED = Path(__file__).parents[2] / "stored" / "format_1" / "store"
"""A bundle of each family."""

SCALE = 0.02
"""Of what is added to weights that start at zero."""

EXAMPLE_ROWS = 512


@dataclass(frozen=True)
class Model:
    """An untrained flow, as large as a trained one.

    Args:
        name: of its bundle.
        family, dimensions, options: of `zoo.build`.
    """

    name: str
    family: str
    dimensions: int
    options: dict[str, Any]

    @property
    def line(self) -> Line:
        """How it is built."""
        return Line(self.family, (self.dimensions,), self.options)

    def flow(self) -> Flow:
        """The flow, always the same on one version of torch."""
        flow = self.line.flow().eval()
        randomise(flow, SCALE)
        return flow

    def write(self, store: Path) -> None:
        """Export it to store/<name>/1."""
        rows = torch.randn(EXAMPLE_ROWS, self.dimensions).numpy()
        export_flow(self.flow(), self.line, rows, None, store / self.name)


@dataclass(frozen=True)
class Plan:
    """How much is checked.

    Args:
        device: of torch and of onnxruntime, `cuda` or `cpu`.
        models: as large as those of digits, BSDS300 and MNIST, and a student of digits.
        families: names of bundles in `STORED`.
        batches: rows that agree and that are timed.
        seconds: of requests that are timed.
        sizes: of batches whose memory is watched; each between one row and `most_rows`.
        most_rows: see there.
        epochs: of training that are timed.
        training_rows: of each.
        compiler: of `torch.compile`.
    """

    device: str
    models: tuple[Model, ...]
    families: tuple[str, ...]
    batches: tuple[int, ...]
    seconds: float
    sizes: int
    most_rows: int
    epochs: int
    training_rows: int
    compiler: str


def _models(transforms: int, hidden: int, dimensions: dict[str, int]) -> tuple[Model, ...]:
    families = {"digits": "maf", "bsds300": "maf", "mnist": "nice", "student": "iaf"}
    # deeper as the recipe of BSDS300 is, shallower for bundles of a few megabytes
    depths = {"digits": 5, "bsds300": 8, "mnist": 3, "student": 5}
    return tuple(
        Model(
            name,
            family,
            dimensions[name],
            {"transforms": min(transforms, depths[name]), "hidden": [hidden, hidden]},
        )
        for name, family in families.items()
    )


CARD = Plan(
    device="cuda",
    models=_models(8, 256, {"digits": 64, "bsds300": 63, "mnist": 784, "student": 64}),
    families=tuple(sorted(path.name for path in STORED.iterdir())),
    batches=(1, 256, 4096),
    seconds=1.5,
    sizes=10_000,
    most_rows=4096,
    epochs=6,
    training_rows=65_536,
    compiler="inductor",
)

REHEARSAL = Plan(
    device="cpu",
    models=_models(1, 8, {"digits": 4, "bsds300": 3, "mnist": 6, "student": 4}),
    families=("maf", "realnvp"),
    batches=(1, 8),
    seconds=0.05,
    sizes=40,
    most_rows=64,
    epochs=1,
    training_rows=256,
    compiler="eager",
)


def chosen() -> Plan:
    """The plan that the environment asks for: `GPU_CHECK=rehearse` for the rehearsal."""
    return REHEARSAL if os.environ.get("GPU_CHECK") == "rehearse" else CARD
