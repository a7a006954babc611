"""The values that a detector's columns are compared with: written, read, and refused."""

from pathlib import Path

import numpy as np
import pytest

from service import bundle
from service.bundle import BundleError, read_columns, read_detector
from service.conformal import column_urns, urns_to_array
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader
from service.types import Float64
from service.watching import Watching
from service.work_threads import WorkThreads
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.stores import edit

RANDOM = np.random.default_rng(0)
ROWS = np.column_stack(
    [
        RANDOM.normal(size=700),
        RANDOM.choice([0.0, 1.0, np.nan], size=700),
        np.zeros(700),
        np.arange(700.0),
    ]
)


def written(folder: Path, array: Float64) -> Path:
    """A detector's bundle with this file."""
    path = write_detector_bundle(folder)
    np.save(path / bundle.COLUMN_VALUES, array)
    manifest = read_detector(path)
    checksum = bundle.sha256(path / bundle.COLUMN_VALUES)
    edit(path, files=manifest.files | {bundle.COLUMN_VALUES: checksum})
    return path


def test_columns_are_read_as_they_were_written(tmp_path: Path) -> None:
    urns = column_urns(ROWS, np.random.default_rng(1))
    path = written(tmp_path, urns_to_array(urns))
    assert (path / bundle.COLUMN_VALUES).read_bytes() == bundle.columns_bytes(urns)
    read = read_columns(path, read_detector(path))
    assert read is not None
    for each, urn in zip(read, urns, strict=True):
        np.testing.assert_array_equal(each.edges, urn.edges)
        np.testing.assert_array_equal(each.gaps, urn.gaps)
        assert each.gaps.sum() == 701


def test_a_bundle_without_the_file_has_none(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path)
    assert read_columns(path, read_detector(path)) is None


ARRAY = urns_to_array(column_urns(ROWS[:20], np.random.default_rng(1)))


def altered(place: tuple[int, int], value: float) -> Float64:
    array = ARRAY.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (ARRAY[:-1], "expected 3 D × K values"),
        (ARRAY[0], "expected 3 D × K values"),
        (ARRAY[:, :0], "expected 3 D × K values"),
        (ARRAY[[0, 1, 4, 5, 8, 9]], "it is of 2 columns, the rows have 4"),
        (altered((0, 3), 99.0), "ascending"),
        (altered((0, 3), np.nan), "ascending"),
        (altered((6, 1), -1.0), "ascending"),
        (altered((6, 5), 0.0), "ascending"),
        (altered((8, 2), 0.0), "whole numbers from 1"),
        (altered((8, 2), 1.5), "whole numbers from 1"),
        (altered((8, 2), np.inf), "whole numbers from 1"),
        (altered((8, 2), 2.0), "one number of rows"),
        (ARRAY.astype(np.float32), "expected an npy file of float64"),
    ],
)
def test_damaged_columns_are_refused(tmp_path: Path, array: Float64, words: str) -> None:
    path = written(tmp_path, array)
    with pytest.raises(BundleError, match=f"detector/1/columns.npy is damaged: .*{words}"):
        read_columns(path, read_detector(path))


def test_values_are_refused_where_the_manifest_says_that_none_are_carried(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path, neighbours=False)
    np.save(path / bundle.COLUMN_VALUES, ARRAY)
    manifest = read_detector(path)
    part = manifest.parts[0].model_dump() | {"indexed_rows": 0}
    edit(path, parts=[part], raw_values=[v for v in manifest.raw_values if v != "indexed_rows"])
    files = manifest.files | {bundle.COLUMN_VALUES: bundle.sha256(path / bundle.COLUMN_VALUES)}
    edit(path, files=files)
    with pytest.raises(BundleError, match=r"columns.npy is for bundles that carry rows"):
        read_detector(path)


def test_other_columns_are_another_fingerprint(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path)
    before = bundle.fingerprint(path)
    np.save(path / bundle.COLUMN_VALUES, ARRAY)
    assert bundle.fingerprint(path) != before


def test_damaged_columns_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, ARRAY[:-1])
    monkeypatch.setattr("service.store.loader.Engine", None)
    metrics, threads = Metrics(), WorkThreads(1)
    watching = Watching(metrics, threads, 100, None)
    settings = ModelSettings.model_validate({})
    loader = Loader(Device.choose("cpu"), lambda _: settings, metrics, watching)
    with pytest.raises(BundleError, match=r"columns.npy is damaged"):
        loader.load(path, Cancellation())
    threads.close()
