"""Stores of tiny bundles, without HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.metrics import Metrics
from service.runtime import Device
from service.settings import ModelSettings
from service.store import Loader, Store


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores of the folder, and closes them after the test."""
    stores: list[Store] = []

    def opened(
        folder: Path = tmp_path, load_seconds: float = 60.0, memory: int | None = None
    ) -> Store:
        loader = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
        stores.append(Store(folder, loader, None, memory, load_seconds))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()
