"""Models to plot: one that is known in full, and those that are stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.bundle import BASES
from tests.stored.files import FORMAT_1
from training.errors import PlotError
from training.plots import Subject, open_subject
from training.plots.subject import Array, Float64, Rows, Stage, Traits

STORE = FORMAT_1 / "store"
TABLES = FORMAT_1.parent / "format_2" / "store"


class Gaussian(Subject):
    """Independent normal coordinates: x = mean + scale z, as if by two layers.

    Args:
        rows: that are held out; None without.
        traits: other than those of two numbers.
    """

    def __init__(
        self,
        rows: Array | None = None,
        mean: float = 1.0,
        scale: float = 2.0,
        **traits: Any,
    ) -> None:
        shape = traits.setdefault("event_shape", (2,))
        usual = {
            "name": "gauss",
            "family": "affine",
            "data_name": "none",
            "latent_shape": shape,
            "base": BASES["normal"],
            "base_parameters": {},
            "dtype": "float64",
        }
        super().__init__(Traits(**{**usual, **traits}))
        self.mean, self.scale, self._held_out = mean, scale, rows
        self.lines: Sequence[Mapping[str, float]] = []

    def encode(
        self, x: Array, context: Array | None = None, u: Float64 | None = None
    ) -> tuple[Float64, Float64]:
        z = (x - self.mean) / self.scale
        flat = z.reshape(len(z), -1)
        constant = np.log(2 * np.pi) / 2 + np.log(self.scale)
        return z, (-0.5 * flat**2 - constant).sum(1)

    def decode(self, z: Array, context: Array | None = None) -> tuple[Float64, Float64]:
        x = self.mean + self.scale * z
        return x, self.encode(x)[1]

    @property
    def rows(self) -> Rows:
        if self._held_out is None:
            raise PlotError("there are no rows")
        return Rows(self._held_out, None, "held-out rows of gauss")

    def decode_by_layers(self, z: Array, context: Array | None) -> list[Stage]:
        return [Stage("", z), Stage("scale", self.scale * z), Stage("shift", self.decode(z)[0])]

    def encode_by_layers(self, x: Array, context: Array | None) -> list[Stage]:
        return [Stage("", x), Stage("shift", x - self.mean), Stage("scale", self.encode(x)[0])]

    @property
    def log(self) -> Sequence[Mapping[str, float]]:
        return self.lines

    @property
    def teacher(self) -> Subject:
        return Gaussian(mean=self.mean, scale=1.1 * self.scale)


def drawn(n: int, seed: int, mean: float = 1.0, scale: float = 2.0) -> Float64:
    """Rows of two numbers, as `Gaussian` has them."""
    return mean + scale * np.random.default_rng(seed).standard_normal((n, 2))


def stored(name: str, data: Path | None = None) -> Subject:
    """A stored bundle."""
    folder = TABLES if name.startswith("mixed") else STORE
    return open_subject(folder / name / "1", data)
