"""What every reader of files returns, and what readers have in common."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import Sound
from training.config import FileSource
from training.data.readers.text import TextColumn
from training.errors import DataError


@dataclass(frozen=True)
class Part:
    """Rows of a table that come from one file or folder.

    Args:
        path: of the file or folder.
        rows: how many.
        place: from a row's number within the part, from 0, to where the file has it: `line 7`.
    """

    path: Path
    rows: int
    place: Callable[[int], str] = "row {}".format


def place(parts: Sequence[Part], row: int) -> str:
    """Where files have a row of all their rows: the file's own number of it, and which file."""
    for part in parts:
        if row < part.rows:
            where = part.place(row)
            return where if len(parts) == 1 else f"{where} of {part.path.name}"
        row -= part.rows
    return f"row {row}"


@dataclass(frozen=True)
class Table:
    """Rows of numbers as a file holds them.

    Args:
        rows: N × D, of the file's own number type; images are flat rows of pixels.
        columns: a name for each coordinate, in row-major order.
        labels: N, the column of labels, numbers or text; None unless the source names one.
        sound: sampling rate and range of the rows if they are sounds, else None.
        texts: by name, the kept columns that hold no numbers, and are in no row.
        parts: the files of the rows, in their order; none if they are from no file.
        notes: what was guessed about the files, for people.
        array_shape: of a row in an array of more than two axes.
        has_names: whether the columns' names are the file's own.
    """

    rows: NDArray[np.generic]
    columns: list[str]
    labels: NDArray[np.generic] | None = None
    sound: Sound | None = None
    texts: Mapping[str, TextColumn] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    notes: tuple[str, ...] = ()
    array_shape: tuple[int, ...] | None = None
    has_names: bool = False

    def place(self, row: int) -> str:
        """Where the files have a row: the file's own number of it, and which file, if several."""
        return place(self.parts, row)


CheckWidth = Callable[[int], None]
"""Raises DataError of a table of too many columns."""


def any_width(_: int) -> None:
    """Let a table have as many columns as it has."""


class Format(NamedTuple):
    """A format of files or folders.

    Args:
        name: for people, such as `.csv file`.
        endings: of the names of its files; none for a format of folders.
        read: from a path and a source of the type `source` to a table.
        source: the [data] section that describes files of this format.
        open: the same, of tables whose columns are of types that Arrow has, as they are. It calls
            its third argument with the number of columns before it reads them.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, Any], Table]
    source: type[FileSource]
    open: Callable[[Path, Any, CheckWidth], Any] | None = None


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
            + ("; rows.reshape(-1, 1) makes one number a row" if rows.dtype.kind in "fiu" else "")
        )
    names = [str(i) for i in range(int(np.prod(rows.shape[1:])))]
    kept, flat = kept_columns(names, source, path), rows.reshape(len(rows), len(names))
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
    shape = rows.shape[1:] if rows.ndim > 2 else None
    part = Part(path, len(rows))
    return Table(flat, [names[i] for i in kept], labels, parts=[part], array_shape=shape)


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
    labels = [table.labels for table in tables if table.labels is not None]
    return replace(
        first,
        rows=np.concatenate([table.rows for table in tables]),
        labels=np.concatenate(labels) if labels else None,
        texts={name: text for table in tables for name, text in table.texts.items()},
        parts=[part for table in tables for part in table.parts],
        notes=tuple(
            f"{path.name}: {note}"
            for table, path in zip(tables, paths, strict=True)
            for note in table.notes
        ),
    )


def abbreviated(names: list[str]) -> str:
    """Names for people: all of them, or the first four and the last of more than eight."""
    return ", ".join(names if len(names) <= 8 else [*names[:4], "…", names[-1]])
