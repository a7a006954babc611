"""What every reader of files returns, and what readers have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import Sound
from training.config import FileSource
from training.errors import DataError


@dataclass(frozen=True)
class Table:
    """Rows of numbers as a file holds them.

    Args:
        rows: N × D, of the file's own number type; images are flat rows of pixels.
        columns: a name for each coordinate, in row-major order.
        labels: N, the column of labels, numbers or text; None unless the source names one.
        sound: sampling rate and range of the rows if they are sounds, else None.
    """

    rows: NDArray[np.generic]
    columns: list[str]
    labels: NDArray[np.generic] | None = None
    sound: Sound | None = None


class Format(NamedTuple):
    """A format of files or folders.

    Args:
        name: for people, such as `.csv file`.
        endings: of the names of its files; none for a format of folders.
        read: from a path and a source of the type `source` to a table.
        source: the [data] section that describes files of this format.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, Any], Table]
    source: type[FileSource]


def kept_columns(names: Sequence[str], source: FileSource, path: Path) -> list[int]:
    """Which columns belong to the rows: those neither dropped nor labels.

    Raises:
        DataError: an unknown column is to be dropped.
    """
    if unknown := sorted(set(source.drop) - set(names)):
        raise DataError(f"{path}: cannot drop {unknown}: the columns are {list(names)}")
    return [i for i, n in enumerate(names) if n not in source.drop and n != source.labels]


def array_table(
    rows: NDArray[np.generic],
    path: Path,
    source: FileSource,
    labels_by_name: Mapping[str, NDArray[np.generic]] | None = None,
) -> Table:
    """Rows of any number of axes as a table, without the columns that the source drops.

    Args:
        rows: N × …; the columns are named by their numbers.
        path: where they come from, for people.
        source: the columns to drop, and the labels to keep.
        labels_by_name: arrays beside the rows that can label them, N each.

    Raises:
        DataError: no rows, or an unknown column.
    """
    if rows.ndim < 2:
        raise DataError(
            f"{path}: expected an array of rows (two or more dimensions), got shape {rows.shape}"
        )
    names = [str(i) for i in range(int(np.prod(rows.shape[1:])))]
    kept, flat = kept_columns(names, source, path), rows.reshape(len(rows), -1)
    labels = None
    if source.labels in names:
        labels = flat[:, names.index(source.labels)]
    elif source.labels is not None and source.labels in (labels_by_name or {}):
        labels = (labels_by_name or {})[source.labels]
        if len(labels) != len(rows):
            raise DataError(
                f"{path}: {len(rows)} rows need a label each, {source.labels!r} has {len(labels)}"
            )
    if len(kept) < len(names):
        flat = flat[:, kept]
    return Table(flat, [names[i] for i in kept], labels)


def joined(tables: Sequence[Table], paths: Sequence[Path]) -> Table:
    """The rows of several files of the same columns, one after the other.

    Args:
        tables: the contents of the files.
        paths: of the files, for people.

    Raises:
        DataError: the files differ in their columns or in their kind of sound.
    """
    first = tables[0]
    for table, path in zip(tables, paths, strict=True):
        if table.sound != first.sound:
            raise DataError(f"{path} holds {table.sound}, {paths[0]} holds {first.sound}")
        if table.columns != first.columns:
            raise DataError(
                f"{path} has the columns {abbreviated(table.columns)}, {paths[0]} has "
                f"{abbreviated(first.columns)}: rows that are held out have the same"
            )
    if len(tables) == 1:
        return first
    rows = np.concatenate([table.rows for table in tables])
    labels = [table.labels for table in tables if table.labels is not None]
    return Table(rows, first.columns, np.concatenate(labels) if labels else None, first.sound)


def abbreviated(names: list[str]) -> str:
    """Names for people: all of them, or the first four and the last of more than eight."""
    return ", ".join(names if len(names) <= 8 else [*names[:4], "…", names[-1]])
