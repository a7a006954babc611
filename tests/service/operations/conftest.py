"""Stores of typed columns and of detectors, and a flow beside them."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.helpers.detectors import write_detector_bundle
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import COLUMNS, write_typed_bundle
from tests.stored.files import app


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = tmp_path_factory.mktemp("formats")
    write_typed_bundle(store)
    write_typed_bundle(store, "conditional", context=True)
    closed = [*COLUMNS[:2], {**COLUMNS[2], "other": False, "missing": False}, COLUMNS[3]]
    carried = ["classes", "point_masses", "ranges"]
    edit(write_typed_bundle(store, "known"), columns=closed, self_test=None, raw_values=carried)
    names = [{**column, "name": name} for column, name in zip(COLUMNS, "ab", strict=False)]
    renamed = [*names, COLUMNS[2], {**COLUMNS[3], "name": "log_prob"}]
    edit(write_typed_bundle(store, "renamed"), columns=renamed, self_test=None, raw_values=carried)
    write_tiny_bundle(store, "tiny")
    with app(store) as http:
        yield http


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    store = tmp_path_factory.mktemp("detectors")
    write_detector_bundle(store)
    write_detector_bundle(store, "arrays", arrays=True)
    write_detector_bundle(store, "moved", context=True)
    write_detector_bundle(
        store,
        "grouped",
        context=True,
        scores=[*range(1, 10), *range(4, 8)],
        classes=[0] * 9 + [1] * 4,
    )
    write_detector_bundle(store, "uncalibrated", scores=None)
    write_detector_bundle(store, "silent", neighbours=False)
    write_typed_bundle(store)
    write_tiny_bundle(store, "tiny")
    with app(store) as http:
        yield http
