"""Files of what the rows of a stream are compared with, as npy: values of columns, and by the hour.

`columns.npy` has intervals of each column. `hours.npy` has those of scores, and of columns where
the bundle may carry values of the data, of each hour apart. It says itself which column has the
time of a row, and which hours there are: programs that do not know the file pass it over.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.bundle.calibration_file import bytes_of, read_array
from service.bundle.manifests.detector import COLUMN_VALUES, HOURS, DetectorManifest
from service.conformal import (
    WEEK_HOURS,
    HourClasses,
    Urn,
    column_urns,
    hour_classes,
    hours_from_array,
    hours_to_array,
    urns_from_array,
    urns_to_array,
)
from service.tables import Column, DatetimeColumn
from service.types import Float64

MAX_WATCHED_COLUMNS = 64
"""Columns that are watched one by one; of rows with more, the score alone."""

MIN_ASCENDING = 0.9
"""Share of rows that are not earlier than the one before, of rows in the order of a column."""


def watched_columns(columns: Sequence[Column | str]) -> list[int]:
    """The places of the columns that are watched.

    Times are not: each row is later than those before it, and no stream is exchangeable by them.
    """
    return [i for i, column in enumerate(columns) if not isinstance(column, DatetimeColumn)]


def references_of(
    columns: Sequence[Column],
    rows: Float64,
    scores: Float64,
    classes: Float64 | None,
    has_values: bool,
    random: np.random.Generator,
) -> dict[str, bytes]:
    """The files that calibration rows make, by their names: both, one or none.

    Args:
        columns: of the rows.
        rows: N × D.
        scores: N.
        classes: N, of a calibration by class.
        has_values: whether the bundle is to carry values of the data.
        random: breaks ties.
    """
    files = {}
    if has_values:
        files[COLUMN_VALUES] = columns_bytes(column_urns(rows, random))
    watched = watched_columns(columns)
    time = _time_column(columns, rows)
    if time is not None:
        carried = watched if has_values and len(watched) <= MAX_WATCHED_COLUMNS else []
        values = np.column_stack([scores, rows[:, carried]])
        hours = hour_classes(time, rows[:, time], classes, values, random)
        if hours is not None:
            files[HOURS] = hours_bytes(hours)
    return files


def _time_column(columns: Sequence[Column], rows: Float64) -> int | None:
    """The place of the column by whose hours rows are compared; None without any.

    That in whose order the rows stand, of several: others have times of something else, such as of
    an account's opening. Else the first.
    """
    candidates = _columns_with_hours(columns)
    for i in candidates:
        times = rows[~np.isnan(rows[:, i]), i]
        if (np.diff(times) >= 0).mean() >= MIN_ASCENDING:
            return i
    return candidates[0] if candidates else None


def _columns_with_hours(columns: Sequence[Column]) -> list[int]:
    """The places of columns of times whose hours differ; without any, of weekdays that differ."""
    times = [(i, c.features) for i, c in enumerate(columns) if isinstance(c, DatetimeColumn)]
    for feature in ("hour", "weekday"):
        if found := [i for i, features in times if feature in features]:
            return found
    return []


def read_columns(folder: Path, manifest: DetectorManifest) -> list[Urn] | None:
    """What the columns of rows to come are compared with; None where the bundle has no such file.

    Args:
        folder: store/<name>/<version>.
        manifest: of this bundle.

    Raises:
        BundleError: the file is larger than any such, or damaged, or of other columns.
        UnreadableBundleError: it cannot be read now.
    """
    if COLUMN_VALUES not in manifest.files:
        return None

    def made(array: Float64) -> list[Urn]:
        urns = urns_from_array(array)
        if len(urns) != manifest.dimensions:
            raise ValueError(f"it is of {len(urns)} columns, the rows have {manifest.dimensions}")
        return urns

    return read_array(folder, manifest, COLUMN_VALUES, made)


def read_hours(folder: Path, manifest: DetectorManifest) -> HourClasses | None:
    """What rows to come are compared with by the hour; None where the bundle has no such file.

    Args, Raises: as of `read_columns`.
    """
    if HOURS not in manifest.files:
        return None

    def made(array: Float64) -> HourClasses:
        hours = hours_from_array(array)
        _check_hours(hours, manifest)
        return hours

    return read_array(folder, manifest, HOURS, made)


def _check_hours(hours: HourClasses, manifest: DetectorManifest) -> None:
    """See that hours are of the bundle that has them.

    Raises:
        ValueError: they are of another one.
    """
    columns = manifest.named_columns
    if hours.column >= len(columns) or not isinstance(columns[hours.column], DatetimeColumn):
        raise ValueError(f"column {hours.column} has no times")
    values = len(hours.urns[0]) - 1
    if values not in (0, len(watched_columns(columns))):
        raise ValueError(f"it is of {values} columns, unlike the rows")
    if values and "indexed_rows" not in manifest.raw_values:
        raise ValueError("it has values of columns, and the bundle carries no rows of the data")
    rows = sum(int(urns[0].gaps.sum()) - 1 for urns in hours.urns)
    calibration, column = manifest.calibration, manifest.class_column
    if calibration is None or rows != calibration.rows:
        raise ValueError(f"it is of {rows} rows, unlike the calibration")
    known = [0.0] if column is None else (manifest.context or [])[column].classes or []
    if unknown := sorted(set(hours.classes.tolist()) - {float(each) for each in known}):
        raise ValueError(f"it has class {unknown[0]:g}, unlike the context")


def said_of_hours(folder: Path, manifest: DetectorManifest) -> str | None:
    """By which hours drift of a bundle is tested, for people; None without times of rows."""
    if not _columns_with_hours(manifest.named_columns):
        return None
    hours = read_hours(folder, manifest)
    if hours is None:
        return (
            "drift is tested by rows of all hours together, as these are too few, or of too few "
            "days: a stream with a daily course comes to an alarm"
        )
    name = manifest.named_columns[hours.column].name
    cycle = "week" if hours.cycle == WEEK_HOURS else "day"
    return f"drift is tested by the hour of the {cycle}, by column {name!r}"


def columns_bytes(urns: list[Urn]) -> bytes:
    """The content of `columns.npy`, which holds values of the data."""
    return bytes_of(urns_to_array(urns))


def hours_bytes(hours: HourClasses) -> bytes:
    """The content of `hours.npy`."""
    return bytes_of(hours_to_array(hours))
