"""Rows beside which a bundle is plotted. Only npy is read without what training needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.bundle import ContextColumn, DensityManifest, TableManifest
from training.errors import PlotError
from training.plots.subject import Array, Rows, Traits

# Rows of a density are drawn by another seed than recipes have by default.
TOY_ROWS, TOY_SEED = 5000, 2**31 - 1


def read_rows(manifest: DensityManifest, traits: Traits, data: Path) -> Rows:
    """Rows that a bundle can be asked about.

    Args:
        manifest: of the bundle.
        traits: of the same.
        data: a file, or the name of a source as recipes have it.

    Raises:
        PlotError: they cannot be read, or are no rows of this model.
        TrainingError: likewise, as training says it.
    """
    if data.suffix == ".npy" and traits.columns is None and not traits.context:
        return Rows(read_npy(traits, data), None, f"rows of {data.name}")
    try:
        from training.data import load_rows
    except ModuleNotFoundError as error:
        raise PlotError(
            f"reading {data} needs {error.name}: pip install 'bijecta[train]', or give the rows as "
            "one .npy file"
        ) from None
    dataset = load_rows(*_source(manifest, traits, data))
    if dataset.event_shape != traits.event_shape:
        raise PlotError(
            f"{data} has rows of shape {list(dataset.event_shape)}, expected "
            f"{list(traits.event_shape)}"
        )
    check_context(traits, dataset.context, data)
    splits = [dataset.train, dataset.validation, dataset.test]
    said = f"rows of {dataset.name}"
    if dataset.sha256 == manifest.data.sha256:
        splits, said = [dataset.test], f"held-out rows of {dataset.name}"
    values = np.concatenate([split.rows for split in splits])
    given = [split.context for split in splits if split.context is not None]
    return Rows(values, np.concatenate(given) if given else None, said)


def _source(manifest: DensityManifest, traits: Traits, data: Path) -> tuple[Any, ...]:
    """The [data] section of a recipe for the file, and how its columns are taken."""
    from pydantic import ValidationError

    from training.config import TableColumns, data_source, kind_of

    keys: dict[str, Any] = {"source": str(data)}
    if kind_of(keys) == "toy":
        keys |= {"rows": TOY_ROWS, "seed": TOY_SEED}
    if numbers := [column.name for column in traits.context if not column.classes]:
        keys["context"] = numbers
    if labels := [column.name for column in traits.context if column.classes]:
        keys["labels"] = labels[0]
    columns = None
    if isinstance(manifest, TableManifest):
        columns = TableColumns(modelled=manifest.columns, left_out=manifest.left_out)
    if traits.integer is not None:
        keys["integers"] = "dequantize"
    if traits.noise:
        keys["noise"] = traits.noise
    if traits.sound is not None:
        keys["window"] = traits.dimensions
    elif len(traits.event_shape) > 1:
        keys["shape"] = list(traits.event_shape)
    try:
        return data_source(**keys), columns is not None, columns
    except ValidationError as error:
        said = "; ".join(str(each["msg"]) for each in error.errors())
        raise PlotError(f"{data}: {said}") from None


def check_context(traits: Traits, context: Sequence[ContextColumn], data: Path) -> None:
    """Check that the context of rows is that of a model.

    Raises:
        PlotError: it has other columns or classes.
    """
    if [_meaning(column) for column in context] != [_meaning(column) for column in traits.context]:
        raise PlotError(
            f"{data} has other classes in its context than {traits.name}: "
            f"{[c.name for c in context]}"
        )


def read_npy(traits: Traits, data: Path) -> Array:
    """The array of a file, N × event shape.

    Raises:
        PlotError: it cannot be read, or holds no rows of this shape.
    """
    try:
        values = np.load(data, allow_pickle=False)
    except OSError as error:
        raise PlotError(f"{data} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise PlotError(f"{data} is no npy file: {error}") from None
    if values.dtype.kind not in "iuf" or values.ndim < 1 or len(values) < 1:
        raise PlotError(f"{data} holds {values.shape} values of {values.dtype}, expected rows")
    if values[0].size != traits.dimensions:
        raise PlotError(
            f"{data} has rows of shape {list(values.shape[1:])}, expected "
            f"{list(traits.event_shape)}"
        )
    rows: Array = values.reshape(-1, *traits.event_shape).astype(traits.dtype)
    wrong = ~np.isfinite(rows.reshape(len(rows), -1)).all(1)
    if wrong.any():
        raise PlotError(f"{data}, row {int(wrong.argmax())}: a value is not finite")
    return rows


def _meaning(column: ContextColumn) -> tuple[str, Sequence[int], Sequence[str]]:
    """What a column's values mean."""
    return column.name, column.classes or (), column.labels or ()
