"""Data sets: rows divided into three, ready for maximum likelihood."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import ContextColumn, Sound
from training.data.augmentation import Augmentation
from training.data.context import Float32


@dataclass(frozen=True)
class Split:
    """Rows of one purpose: to train on, to validate with, or to test with.

    Args:
        rows: N × event shape in float32, raw as clients send them.
        context: what each row is conditioned on, N × columns; None where there is no context.
    """

    rows: Float32
    context: Float32 | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Dataset:
    """Rows divided into three, and what is known of them.

    Args:
        name: where they come from, for people.
        sha256: checksum of the file, or of the rows where there is no file.
        integer: for each coordinate, whether it is a whole number to be dequantised: event shape.
        low, high: for each coordinate, the range of its values, both ends included: event shape.
        train, validation, test: the rows, with the context of each.
        context: the columns that the rows are conditioned on; none where there is no context.
        noise: deviation of the normal noise that is added to every value; 0 for none.
        sound: what the rows are, where they are sounds.
        augmentation: how each step draws training rows; None where it takes them as they are.
    """

    name: str
    sha256: str
    integer: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    train: Split
    validation: Split
    test: Split
    context: Sequence[ContextColumn] = ()
    noise: float = 0.0
    sound: Sound | None = None
    augmentation: Augmentation | None = None

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.train.rows.shape[1:]

    def noisy(self, rows: Float32, copies: int, seed: int) -> Float32:
        """Copies of the rows with all noise, copies first; one where none is due."""
        if not self.integer.any() and not self.noise:
            return rows[None]
        rng = np.random.default_rng(seed)
        noise = rng.uniform(-0.5, 0.5, (copies, *rows.shape)) * self.integer
        if self.noise:
            noise += self.noise * rng.standard_normal(noise.shape)
        noisy: Float32 = (rows + noise).astype(np.float32)
        return noisy
