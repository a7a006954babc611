"""From a recipe to a data set: rows read, checked, divided."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from service.bundle import sha256
from training.config import DataRecipe
from training.data import protocols
from training.data.augmentation import Augmentation, bsds300_rows, mirrored
from training.data.checks import Columns, check_numbers, float32, inspect
from training.data.context import Float32, context
from training.data.dataset import Dataset, Split
from training.data.readers import Table, Wanted, joined, read
from training.data.toy import DENSITIES
from training.errors import DataError


def load_dataset(recipe: DataRecipe) -> Dataset:
    """Load, check and divide the rows that a recipe names.

    Raises:
        DataError: the source cannot be read, holds columns that no density fits or that cannot
            be a context (the column is named), or rows that have not the shape asked for or
            cannot be augmented.
    """
    if recipe.protocol is not None:
        return _published(recipe)
    source, digest, table, integers, sizes = _table(recipe)
    check_numbers(table)
    if unknown := sorted(set(recipe.context) - set(table.columns)):
        raise DataError(f"no columns {unknown} for the context: the columns are {table.columns}")
    given = [table.columns.index(column) for column in recipe.context]
    kept = [i for i, column in enumerate(table.columns) if column not in recipe.context]
    if len(table.rows) < 10 or not kept:
        raise DataError(
            f"expected at least 10 rows of 1 column, got {len(table.rows)} × {len(kept)}"
        )
    columns = [table.columns[i] for i in kept]
    found = inspect(table.rows, kept, table.columns, integers)
    low, high = _range(found, columns, recipe.bounds)
    shape = _shape(recipe, len(columns))
    train, validation, test = _divide(sizes, recipe)
    labelled = None if table.labels is None else (str(recipe.labels), table.labels)
    numbers = table.rows[:, given].astype(np.float64)
    beside = context(recipe.context, numbers, labelled, train)

    def split(indices: NDArray[np.intp]) -> Split:
        rows = float32(table.rows, indices, kept).reshape(-1, *shape)
        return Split(rows, beside.of(indices))

    trained = split(train)
    return Dataset(
        name=source,
        sha256=digest,
        integer=found.integer.reshape(shape),
        low=low.reshape(shape),
        high=high.reshape(shape),
        train=trained,
        validation=split(validation),
        test=split(test),
        context=beside.columns,
        noise=recipe.noise,
        sound=table.sound,
        augmentation=_mirrored(trained.rows) if recipe.augment else None,
    )


def _mirrored(images: Float32) -> Augmentation:
    if images.ndim < 4:
        raise DataError(
            "augment mirrors images, rows whose shape is [channels, height, width], got "
            f"shape {list(images.shape[1:])}"
        )
    return Augmentation(images, mirrored)


def _shape(recipe: DataRecipe, columns: int) -> list[int]:
    """Of one row of so many columns."""
    shape = recipe.shape or [columns]
    if math.prod(shape) != columns:
        raise DataError(
            f"shape {shape} has {math.prod(shape)} elements, the rows have {columns} columns"
        )
    return shape


def _digest(rows: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<f8").tobytes()).hexdigest()


def _published(recipe: DataRecipe) -> Dataset:
    """The rows of a published protocol, which are float32 as they are."""
    assert recipe.source is not None
    assert recipe.protocol is not None
    path = Path(recipe.source)
    splits = protocols.read(recipe.protocol, path)
    shape = _shape(recipe, splits.train.shape[1])
    train, validation, test = (rows.astype(np.float32).reshape(-1, *shape) for rows in splits)
    return Dataset(
        name=recipe.protocol,
        sha256=_checksum(path),
        integer=np.zeros(shape, dtype=bool),
        low=np.full(shape, -np.inf),
        high=np.full(shape, np.inf),
        train=Split(train[: recipe.train_rows]),
        validation=Split(validation),
        test=Split(test),
        augmentation=_redrawn(path, recipe) if recipe.augment else None,
    )


def _redrawn(path: Path, recipe: DataRecipe) -> Augmentation:
    if recipe.protocol != "bsds300" or path.is_file():
        raise DataError(
            "augment, with a protocol, draws rows from the folder of patches of 'bsds300', not "
            f"from {path} of {recipe.protocol!r}"
        )
    pixels = np.load(path / "train.npy", allow_pickle=False)[: recipe.train_rows]
    return Augmentation(pixels.reshape(len(pixels), -1), bsds300_rows)


def _checksum(path: Path) -> str:
    """Of a file, or of all files in a folder."""
    within = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return _together([sha256(file) for file in within])


def _together(digests: Sequence[str]) -> str:
    """One checksum for several."""
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _table(recipe: DataRecipe) -> tuple[str, str, Table, str, list[int]]:
    """Name and checksum of a source, what it holds, and what to do with its whole numbers.

    The last are the numbers of rows of the source, and of the files that validate and test, where
    there are any: the table holds theirs after the source's.
    """
    assert recipe.source is not None
    held = [part for part in (recipe.validation, recipe.test) if isinstance(part, str)]
    if recipe.source in ("digits", *DENSITIES) and held:
        raise DataError(f"{held} are held out beside files, not beside {recipe.source!r}")
    sizes: list[int] = []
    if recipe.source == "digits":
        digits = load_digits()
        columns = [f"pixel_{i // 8}_{i % 8}" for i in range(64)]
        labels = digits.target if recipe.labels == "digit" else None
        table = Table(digits.data, columns, labels)
        name, digest, integers = "scikit-learn digits", _digest(digits.data), "dequantize"
    elif recipe.source in DENSITIES:
        rows = DENSITIES[recipe.source](recipe.rows, recipe.seed)
        table = Table(rows, ["x", "y"])
        name, digest, integers = recipe.source, _digest(rows), recipe.integers
    else:
        paths = [Path(path) for path in (recipe.source, *held)]
        wanted = Wanted(
            key=recipe.key,
            drop=recipe.drop,
            labels=recipe.labels,
            window=recipe.window,
            whole=recipe.whole,
            fade=recipe.fade,
            level=recipe.level,
        )
        tables = [read(path, wanted) for path in paths]
        table, sizes = joined(tables, paths), [len(table.rows) for table in tables]
        digest, integers = _together(list(map(_checksum, paths))), recipe.integers
        name = paths[0].name
    if recipe.labels is not None and table.labels is None:
        known = "'digit'" if recipe.source == "digits" else "none"
        raise DataError(f"{name} has no labels {recipe.labels!r}: labels there are: {known}")
    return name, digest, table, integers, sizes or [len(table.rows)]


def _range(
    found: Columns, columns: list[str], bounds: tuple[float, float] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    integer, low, high = found.integer, found.low, found.high
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


def _divide(sizes: list[int], recipe: DataRecipe) -> list[NDArray[np.intp]]:
    """Which rows are trained on, which validate, and which test.

    Args:
        sizes: rows of the source, and of the files that validate and test.
        recipe: the shares, or that there are such files.
    """
    n = sizes[0]
    order = np.random.default_rng(recipe.seed).permutation(n)
    n_validation, n_test = (max(1, round(s * n)) if s else 0 for s in recipe.shares)
    test, validation, train = np.split(order, [n_test, n_test + n_validation])
    _, *own = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    if isinstance(recipe.test, str):
        test = own.pop()
    if isinstance(recipe.validation, str):
        validation = own.pop()
    if min(len(test), len(train)) < 2:
        raise DataError(
            f"{n} rows divide into {len(train)} to train on, {len(validation)} to validate "
            f"and {len(test)} to test: at least 2, 1 and 2 are needed; change [data] or add rows"
        )
    return [train[: recipe.train_rows], validation, test]
