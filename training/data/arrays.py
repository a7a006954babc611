"""Arrays of one shape, undivided: images, sounds, or plain numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.tables import TableError, anomalies_of, from_array
from training.config import FileSource
from training.data.checks import check_types, rows_at_once
from training.data.load import checksum_of
from training.data.readers import Table, has_columns, read
from training.errors import DataError

# What torch indexes as it is; others become float64.
NUMBER_TYPES = ("u1", "i2", "i4", "f4", "f8")


@dataclass(frozen=True)
class WholeArrays:
    """Rows of one shape.

    Args:
        rows: N × event shape, finite.
        anomalous: N, whether its label says so; None where the source names no labels.
        sha256: checksum of the files.
    """

    rows: NDArray[np.generic]
    anomalous: NDArray[np.bool_] | None
    sha256: str


def whole_arrays(path: Path, source: FileSource) -> WholeArrays | None:
    """Read arrays, whose shape is that of the file where the source names none.

    Returns:
        None where the file holds a table of columns, and the source names no shape.

    Raises:
        DataError: as of `readers.read`; the rows hold no numbers or not so many, one is not
            finite, or a label says neither that its row is normal nor that it is an anomaly.
    """
    if source.shape is None and has_columns(path, source):
        return None
    table = read(path, source)
    if source.shape is None and table.array_shape is None and table.sound is None:
        return None
    check_types(table)
    if table.texts:
        name = next(iter(table.texts))
        raise DataError(f"{path}: column {name!r} holds text: arrays hold numbers alone")
    shape = tuple(source.shape or table.array_shape or (len(table.columns),))
    if math.prod(shape) != len(table.columns):
        raise DataError(
            f"{path}: a row holds {len(table.columns)} numbers, shape {list(shape)} has "
            f"{math.prod(shape)}"
        )
    _check_finite(table, path, shape)
    kind = table.rows.dtype.str[1:]
    rows = table.rows if kind in NUMBER_TYPES else table.rows.astype(np.float64)
    return WholeArrays(
        np.ascontiguousarray(rows, rows.dtype.newbyteorder("=")).reshape(-1, *shape),
        _anomalous(table, path, source),
        checksum_of([path]),
    )


def _check_finite(table: Table, path: Path, shape: tuple[int, ...]) -> None:
    step = rows_at_once(table.rows)
    for start in range(0, len(table.rows), step):
        wrong = np.argwhere(~np.isfinite(table.rows[start : start + step]))
        if len(wrong):
            row, column = int(wrong[0][0]) + start, int(wrong[0][1])
            where = [int(i) for i in np.unravel_index(column, shape)]
            raise DataError(
                f"{path}, {table.place(row)}: value {where} is {table.rows[row, column]}, expected "
                "a finite number"
            )


def _anomalous(table: Table, path: Path, source: FileSource) -> NDArray[np.bool_] | None:
    if source.labels is None:
        return None
    assert table.labels is not None  # else `read` refuses
    place: Callable[[int], str] = table.place
    try:
        return anomalies_of(from_array(table.labels), source.labels, place)
    except TableError as error:
        raise DataError(f"{path}: {error}") from None
