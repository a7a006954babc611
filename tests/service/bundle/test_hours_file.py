"""What rows are compared with by the hour: made of calibration rows, read, and refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import bundle
from service.bundle import BundleError, read_detector, read_hours, references_of
from service.bundle.calibration_file import array_of
from service.conformal import HourClasses, hours_from_array
from service.tables import Column, DatetimeColumn, NumericColumn
from service.types import Float64
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.stores import edit
from tests.helpers.typed import FIRST_DAY

DAY = 86400.0
RANDOM = np.random.default_rng(0)
N = 700
TIMES = FIRST_DAY + DAY * RANDOM.integers(0, 50, N)
ROWS = np.column_stack([RANDOM.normal(size=N), RANDOM.normal(size=N), np.zeros(N), TIMES])
SCORES = RANDOM.normal(size=N)


def times(name: str, *features: Any) -> DatetimeColumn:
    return DatetimeColumn(name=name, low=0, high=9e9, features=list(features))


def number(name: str) -> NumericColumn:
    return NumericColumn(name=name, low=0, high=1)


def hours_of(
    columns: list[Column], rows: Float64 = ROWS, has_values: bool = True
) -> HourClasses | None:
    random = np.random.default_rng(1)
    files = references_of(columns, rows, SCORES[: len(rows)], None, has_values, random)
    return hours_from_array(array_of(files[bundle.HOURS])) if bundle.HOURS in files else None


def series(hours: HourClasses | None) -> set[int]:
    """How many are ranked in a class: the score, and columns."""
    return set() if hours is None else {len(urns) for urns in hours.urns}


PLAIN: list[Column] = [number("a"), number("b"), number("c"), times("day", "weekday")]


def test_the_first_times_whose_hours_differ_are_taken() -> None:
    of_day = TIMES + 3600 * RANDOM.integers(8, 10, N)
    columns: list[Column] = [
        times("born"),
        times("due", "weekday"),
        number("a"),
        times("at", "hour"),
    ]
    found = hours_of(columns, np.column_stack([TIMES, TIMES, ROWS[:, 0], of_day]))
    assert found is not None
    assert (found.column, found.cycle) == (3, 168)
    assert series(found) == {2}  # the score, and the one that is no time
    found = hours_of(PLAIN)
    assert found is not None
    assert (found.column, len(found.hours)) == (3, 7)
    assert not hours_of([*PLAIN[:3], times("day")])
    assert not hours_of(PLAIN[:3], ROWS[:, :3])


def test_of_several_times_those_are_taken_in_whose_order_the_rows_stand() -> None:
    random = np.random.default_rng(2)
    opened = TIMES - DAY * random.integers(0, 900, N) + 3600 * random.integers(8, 11, N)
    paid = np.sort(TIMES + 3600 * random.integers(8, 10, N))
    paid[::50], paid[25] = np.nan, paid[0]  # missing, and late
    columns: list[Column] = [number("a"), times("opened", "hour"), times("paid", "hour")]
    rows = np.column_stack([SCORES, opened, paid])
    found = hours_of(columns, rows)
    assert found is not None
    assert found.column == 2
    # in no order, the first
    found = hours_of(columns, rows[random.permutation(N)])
    assert found is not None
    assert found.column == 1


def test_values_of_columns_are_carried_where_they_may_be() -> None:
    assert series(hours_of(PLAIN)) == {4}
    assert series(hours_of(PLAIN, has_values=False)) == {1}
    assert not references_of(PLAIN[:3], ROWS, SCORES, None, False, RANDOM)
    many: list[Column] = [*(number(str(i)) for i in range(65)), times("day", "weekday")]
    rows = np.column_stack([np.zeros((N, 65)), TIMES])
    assert series(hours_of(many, rows)) == {1}


def written(folder: Path, content: bytes, scores: Float64 = SCORES) -> Path:
    """A detector's bundle with this file."""
    path = write_detector_bundle(folder, scores=scores.tolist())
    (path / bundle.HOURS).write_bytes(content)
    checksum = bundle.sha256(path / bundle.HOURS)
    edit(path, files=read_detector(path).files | {bundle.HOURS: checksum})
    return path


def content(rows: Float64 = ROWS, columns: list[Column] = PLAIN, has_values: bool = True) -> bytes:
    files = references_of(columns, rows, SCORES, None, has_values, np.random.default_rng(1))
    return files[bundle.HOURS]


def test_hours_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = written(tmp_path, content())
    found = read_hours(path, read_detector(path))
    assert found is not None
    assert bundle.hours_bytes(found) == content()
    without = write_detector_bundle(tmp_path / "other")
    assert read_hours(without, read_detector(without)) is None


SWAPPED = ROWS[:, [3, 0, 1, 2]]


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (content()[:-8], "bytes that it has"),
        (content(SWAPPED, [PLAIN[3], *PLAIN[:3]]), "column 0 has no times"),
        (content(ROWS[:, [0, 1, 3]], [*PLAIN[:2], PLAIN[3]]), "column 2 has no times"),
        (
            content(ROWS[:, [0, 1, 2, 3, 0]], [*PLAIN, number("e")]),
            "it is of 4 columns, unlike the rows",
        ),
    ],
)
def test_damaged_hours_are_refused(tmp_path: Path, damaged: bytes, words: str) -> None:
    path = written(tmp_path, damaged)
    with pytest.raises(BundleError, match=f"detector/1/hours.npy is damaged: .*{words}"):
        read_hours(path, read_detector(path))


def test_hours_of_other_rows_or_classes_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "rows", content(), SCORES[:-1])
    with pytest.raises(BundleError, match="it is of 700 rows, unlike the calibration"):
        read_hours(path, read_detector(path))
    classes = np.ones(N)
    by_class = references_of(PLAIN, ROWS, SCORES, classes, True, np.random.default_rng(1))
    path = written(tmp_path / "classes", by_class[bundle.HOURS])
    with pytest.raises(BundleError, match="it has class 1, unlike the context"):
        read_hours(path, read_detector(path))


def test_values_are_refused_where_the_manifest_says_that_none_are_carried(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path, neighbours=False, scores=SCORES.tolist())
    manifest = read_detector(path)
    part = manifest.parts[0].model_dump() | {"indexed_rows": 0}
    edit(path, parts=[part], raw_values=[v for v in manifest.raw_values if v != "indexed_rows"])
    for has_values in (False, True):
        (path / bundle.HOURS).write_bytes(content(has_values=has_values))
        edit(path, files=manifest.files | {bundle.HOURS: bundle.sha256(path / bundle.HOURS)})
        if has_values:
            with pytest.raises(BundleError, match="the bundle carries no rows of the data"):
                read_hours(path, read_detector(path))
        else:
            assert read_hours(path, read_detector(path)) is not None


def test_other_hours_are_another_fingerprint(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path)
    before = bundle.fingerprint(path)
    (path / bundle.HOURS).write_bytes(content())
    assert bundle.fingerprint(path) != before
