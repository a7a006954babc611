"""Tables: what every reader of files gives."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle import Sound
from training.errors import DataError


@dataclass(frozen=True)
class Table:
    """Rows of numbers as a file holds them.

    Args:
        rows: N × D, of the file's own number type; images are flat rows of pixels.
        columns: a name for each coordinate, in row-major order.
        labels: N, the column of labels, numbers or text, where one was asked for.
        sound: what the rows are, where they are sounds.
    """

    rows: NDArray[np.generic]
    columns: list[str]
    labels: NDArray[np.generic] | None = None
    sound: Sound | None = None


@dataclass(frozen=True)
class Wanted:
    """What of a file is wanted; see `files.read`."""

    key: str | None = None
    drop: Collection[str] = ()
    labels: str | None = None
    window: int | None = None
    whole: bool = False
    fade: int = 0
    level: float | None = None

    def kept(self, names: list[str], path: Path) -> list[int]:
        """Which columns hold numbers of rows: neither dropped nor labels."""
        if unknown := sorted(set(self.drop) - set(names)):
            raise DataError(f"{path}: cannot drop {unknown}: the columns are {names}")
        return [i for i, n in enumerate(names) if n not in self.drop and n != self.labels]


def array_table(
    rows: NDArray[np.generic],
    path: Path,
    wanted: Wanted,
    apart: Mapping[str, NDArray[np.generic]] | None = None,
) -> Table:
    """Rows of any number of axes as a table, less what is not wanted.

    Args:
        rows: N × ….
        path: where they come from, for people.
        wanted: columns, by number, that are dropped, and one of labels.
        apart: names and values, N each, of what the file holds beside the rows to label them.

    Raises:
        DataError: no rows, or an unknown column.
    """
    if rows.ndim < 2:
        raise DataError(
            f"{path}: expected an array of rows (two or more dimensions), got shape {rows.shape}"
        )
    names = [str(i) for i in range(int(np.prod(rows.shape[1:])))]
    kept, flat = wanted.kept(names, path), rows.reshape(len(rows), -1)
    labels = None
    if wanted.labels in names:
        labels = flat[:, names.index(wanted.labels)]
    elif wanted.labels is not None and apart is not None and wanted.labels in apart:
        labels = apart[wanted.labels]
        if len(labels) != len(rows):
            raise DataError(
                f"{path}: {len(rows)} rows need a label each, {wanted.labels!r} has {len(labels)}"
            )
    if len(kept) < len(names):
        flat = flat[:, kept]
    return Table(flat, [names[i] for i in kept], labels)


def joined(tables: Sequence[Table], paths: Sequence[Path]) -> Table:
    """The rows of several files of the same columns, one after the other.

    Args:
        tables: what the files hold.
        paths: where they lie, for people.

    Raises:
        DataError: they have not the same columns.
    """
    first = tables[0]
    for table, path in zip(tables, paths, strict=True):
        if table.sound != first.sound:
            raise DataError(f"{path} holds {table.sound}, {paths[0]} {first.sound}")
        if table.columns != first.columns:
            raise DataError(
                f"{path} has the columns {few(table.columns)}, {paths[0]} has "
                f"{few(first.columns)}: rows that are held out have the same"
            )
    if len(tables) == 1:
        return first
    rows = np.concatenate([table.rows for table in tables])
    labels = [table.labels for table in tables if table.labels is not None]
    return Table(rows, first.columns, np.concatenate(labels) if labels else None, first.sound)


def few(names: list[str]) -> str:
    """Names for people: all, or the first and the last of many."""
    return ", ".join(names if len(names) <= 8 else [*names[:4], "…", names[-1]])
