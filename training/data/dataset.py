"""Data sets: rows to train on, to validate with and to test with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.bundle import ContextColumn, Sound
from training.config import TableColumns
from training.data.context import Float32

if TYPE_CHECKING:
    from training.data.augmentation import Augmentation


Number = TypeVar("Number", np.float32, np.float64)


@dataclass(frozen=True)
class Split(Generic[Number]):
    """Rows of one purpose: to train on, to validate with, or to test with.

    Args:
        rows: N × event shape, raw as clients send them.
        context: what each row is conditioned on, N × columns; None where there is no context.
        indices: of the rows in their source, N; None if they are from several places.
    """

    rows: NDArray[Number]
    context: Float32 | None = None
    indices: NDArray[np.intp] | None = None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, kw_only=True)
class DividedRows(Generic[Number]):
    """Rows divided into three: what data sets of all types have in common.

    Args:
        name: of the source, for people.
        sha256: checksum of the source's files, or of the rows if they are not from files.
        train, validation, test: the rows, with the context of each.
        context: the columns that the rows are conditioned on, if any.
        augmentation: how each step draws training rows; None if it takes them unchanged.
        notes: what was guessed or may be wrong, for people.
        place: from a row's index in the source to where its file has it, for people.
    """

    name: str
    sha256: str
    train: Split[Number]
    validation: Split[Number]
    test: Split[Number]
    context: Sequence[ContextColumn] = ()
    augmentation: "Augmentation | None" = None
    notes: Sequence[str] = ()
    place: Callable[[int], str] = "row {}".format

    def place_of(self, split: Split[Any], row: int) -> str:
        """Where the source's file has a row of a split, for people."""
        return f"row {row}" if split.indices is None else self.place(int(split.indices[row]))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.train.rows.shape[1:]

    def noisy(self, rows: NDArray[Number], copies: int, seed: int) -> NDArray[Number]:
        """Noisy copies of rows, copies × N × event shape; one copy if there is no noise to add."""
        return rows[None]


@dataclass(frozen=True, kw_only=True)
class TypedDataset(DividedRows[np.float64]):
    """Rows of columns of any kind, N × D in float64; what a value means `service.tables` says.

    Args:
        columns: what is decided of the table.
    """

    columns: TableColumns


@dataclass(frozen=True, kw_only=True)
class Dataset(DividedRows[np.float32]):
    """Rows of real numbers, and what is known of them.

    Args:
        integer: event shape; whether each coordinate is a whole number to be dequantised.
        low, high: event shape; the range of each coordinate, both ends included.
        columns: names of a row's coordinates, in row-major order; None where the source has none.
        noise: standard deviation of the normal noise that is added to every value; 0 for none.
        sound: sampling rate and range of the rows if they are sounds, else None.
    """

    integer: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    columns: Sequence[str] | None = None
    noise: float = 0.0
    sound: Sound | None = None

    @property
    def is_noisy(self) -> bool:
        """Whether rows get noise: of whole numbers, or of the recipe."""
        return bool(self.integer.any()) or self.noise > 0

    def noisy(self, rows: Float32, copies: int, seed: int) -> Float32:
        """Noisy copies of rows, copies × N × event shape; one copy if there is no noise to add.

        Integers get noise U(−½, ½), and every value normal noise of deviation `noise`.
        """
        if not self.is_noisy:
            return rows[None]
        rng = np.random.default_rng(seed)
        noise = rng.uniform(-0.5, 0.5, (copies, *rows.shape)) * self.integer
        if self.noise:
            noise += self.noise * rng.standard_normal(noise.shape)
        noisy: Float32 = (rows + noise).astype(np.float32)
        return noisy


AnyDataset = DividedRows[Any]
"""A data set of either type."""
