"""From the [data] section of a recipe to a data set: rows read, checked, divided."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.bundle import sha256
from training.config import (
    DataSource,
    DigitsSource,
    DividedSource,
    FileSource,
    ImageSource,
    ProtocolSource,
    RowSource,
    ToySource,
    held_out_source,
)
from training.data import protocols
from training.data.checks import ColumnRanges, check, check_types, float32, refuse
from training.data.context import Float32, context
from training.data.dataset import Dataset, Split
from training.data.division import check_held_out, divide, repeated_rows
from training.data.readers import Table, joined, read
from training.data.toy import DENSITIES
from training.errors import DataError

if TYPE_CHECKING:
    from training.data.augmentation import Augmentation


def load_dataset(source: DataSource) -> Dataset:
    """Load, check and divide the rows of a [data] section.

    Raises:
        DataError: the source cannot be read, holds columns that no density fits or that cannot
            be a context (the column is named), or rows that do not fit the shape or cannot be
            augmented.
    """
    if isinstance(source, ProtocolSource):
        return _published(source)
    if isinstance(source, FileSource):
        return _divided(source, _files(source))
    return _divided(source, _digits(source) if isinstance(source, DigitsSource) else _toy(source))


@dataclass(frozen=True)
class _Origin:
    """What a source holds, before it is checked.

    Args:
        name: of the source, for people.
        sha256: checksum of its files, or of its rows.
        table: the rows: the source's own, followed by those of the files that validate and test.
        sizes: numbers of rows: of the source, and of each of these files.
    """

    name: str
    sha256: str
    table: Table
    sizes: Sequence[int]


def _digits(source: DigitsSource) -> _Origin:
    from sklearn.datasets import load_digits

    digits = load_digits()
    names = [f"pixel_{i // 8}_{i % 8}" for i in range(64)]
    table = Table(digits.data, names, None if source.labels is None else digits.target)
    return _Origin("scikit-learn digits", _digest(digits.data), table, [len(digits.data)])


def _toy(source: ToySource) -> _Origin:
    rows = DENSITIES[source.source](source.rows, source.seed)
    return _Origin(
        source.source, _digest(rows), Table(rows, ["x", "y"], has_names=True), [len(rows)]
    )


def _files(source: FileSource) -> _Origin:
    files = files_of(source)
    paths = [path for path, _ in files]
    tables = [read(path, each) for path, each in files]
    sizes = [len(table.rows) for table in tables]
    return _Origin(paths[0].name, checksum_of(paths), joined(tables, paths), sizes)


def files_of(source: FileSource) -> list[tuple[Path, FileSource]]:
    """The file of a source and those that it holds out, with how each is read.

    Raises:
        DataError: the format of one needs a key that the source lacks.
    """
    held_out = [held for held in (source.validation, source.test) if isinstance(held, str)]
    try:
        sources = [source, *(held_out_source(source, path) for path in held_out)]
    except ValidationError as error:
        raise DataError("; ".join(str(e["msg"]) for e in error.errors())) from None
    return [(Path(path), s) for path, s in zip((source.source, *held_out), sources, strict=True)]


def checksum_of(paths: Sequence[Path]) -> str:
    """The checksum of all files of a source."""
    return _combined_digest([_checksum(path) for path in paths])


def _divided(source: DividedSource, origin: _Origin) -> Dataset:
    table = origin.table
    check_types(table)
    if unknown := sorted(set(source.context) - set(table.columns) - table.texts.keys()):
        raise DataError(f"no columns {unknown} for the context: the columns are {table.columns}")
    modelled = [i for i, column in enumerate(table.columns) if column not in source.context]
    if len(table.rows) < 10 or not (modelled or table.texts):
        raise DataError(
            f"expected at least 10 rows of 1 column, got {len(table.rows)} × {len(modelled)}"
            + "; each line or first axis is one row: transpose it?" * (len(modelled) >= 10)
        )
    pixels = _are_pixels(source, table)
    smooth = source.noise > 0
    found = check(table, modelled, integers=source.integers, pixels=pixels, smooth=smooth)
    refuse(found.problems, table, origin.name)
    ranges, notes = found.ranges, [*table.notes, *found.notes]
    low, high = _range(ranges, [table.columns[i] for i in modelled], source.bounds)
    shape = _shape(source, len(modelled))
    discrete = "whole numbers" if ranges.integer.all() else ""
    groups, said = repeated_rows(table.rows, source, discrete=discrete)
    notes += said
    train, validation, test = divide(origin.sizes, source, groups)
    check_held_out(table, modelled, train, np.concatenate([validation, test]))
    conditions = [table.columns.index(column) for column in source.context]
    labels = source.labels if isinstance(source, FileSource | DigitsSource) else None
    row_context = context(
        source.context,
        table.rows[:, conditions].astype(np.float64),
        None if labels is None or table.labels is None else (labels, table.labels),
        train,
    )

    def split(indices: NDArray[np.intp]) -> Split[np.float32]:
        rows = float32(table.rows, indices, modelled).reshape(-1, *shape)
        return Split(rows, row_context.of(indices), indices)

    trained = split(train)
    return Dataset(
        name=origin.name,
        sha256=origin.sha256,
        integer=ranges.integer.reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        train=trained,
        validation=split(validation),
        test=split(test),
        columns=[table.columns[i] for i in modelled] if table.has_names else None,
        context=row_context.columns,
        noise=source.noise,
        sound=table.sound,
        augmentation=_mirrored(trained.rows) if source.augment else None,
        notes=notes,
        place=table.place,
    )


def _are_pixels(source: DividedSource, table: Table) -> bool:
    """Whether a row is an image or a sound, of which coordinates may be constant or alike."""
    return (
        isinstance(source, DigitsSource | ImageSource)
        or table.sound is not None
        or table.array_shape is not None
        or len(source.shape or []) > 1
    )


def _mirrored(images: Float32) -> "Augmentation":
    from training.data.augmentation import Augmentation, mirrored  # they need torch

    if images.ndim < 4:
        raise DataError(
            "augment mirrors images, rows whose shape is [channels, height, width], got "
            f"shape {list(images.shape[1:])}"
        )
    return Augmentation(images, mirrored)


def _shape(source: RowSource, columns: int) -> list[int]:
    """Shape of a row that has this number of columns."""
    shape = source.shape or [columns]
    if math.prod(shape) != columns:
        raise DataError(
            f"shape {shape} has {math.prod(shape)} elements, the rows have {columns} columns"
        )
    return shape


def _digest(rows: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<f8").tobytes()).hexdigest()


def _published(source: ProtocolSource) -> Dataset:
    """The rows of a published protocol, in float32 as prepared."""
    path = Path(source.source)
    splits = protocols.read(source.protocol, path)
    shape = _shape(source, splits.train.shape[1])
    train, validation, test = (rows.astype(np.float32).reshape(-1, *shape) for rows in splits)
    return Dataset(
        name=source.protocol,
        sha256=_checksum(path),
        integer=np.zeros(shape, dtype=bool),
        low=np.full(shape, -np.inf),
        high=np.full(shape, np.inf),
        train=Split(train[: source.train_rows]),
        validation=Split(validation),
        test=Split(test),
        augmentation=_redrawn(path, source) if source.augment else None,
    )


def _redrawn(path: Path, source: ProtocolSource) -> "Augmentation":
    from training.data.augmentation import Augmentation, bsds300_rows

    if source.protocol != "bsds300" or path.is_file():
        raise DataError(
            "augment, with a protocol, draws rows from the folder of patches of 'bsds300', not "
            f"from {path} of {source.protocol!r}"
        )
    pixels = np.load(path / "train.npy", allow_pickle=False)[: source.train_rows]
    return Augmentation(pixels.reshape(len(pixels), -1), bsds300_rows)


def _checksum(path: Path) -> str:
    """The checksum of a file, or of all files in a folder."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return _combined_digest([sha256(file) for file in files])


def _combined_digest(digests: Sequence[str]) -> str:
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _range(
    ranges: ColumnRanges, columns: list[str], bounds: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The range of each column's density; infinite if it is not bounded."""
    integer, low, high = ranges.integer, ranges.low, ranges.high
    if bounds is not None:
        outside = np.argwhere((low < bounds[0]) | (high > bounds[1]))
        if len(outside):
            i = outside[0][0]
            raise DataError(
                f"column {columns[i]!r} goes from {low[i]:g} to {high[i]:g}, outside the "
                f"bounds {list(bounds)} that the recipe states"
            )
        low, high = np.full_like(low, bounds[0]), np.full_like(high, bounds[1])
    elif integer.all():
        # pixels share their range: one that is dark in every row could still be bright
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    else:
        low, high = np.where(integer, low, -np.inf), np.where(integer, high, np.inf)
    return low, high
