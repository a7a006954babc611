"""Clients, blocking and not, and a clock for them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.askers import Asker, Clock, Make
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.servers import Serve
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import write_typed_bundle


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Asker] = []

    def start(*arguments: Any, **options: Any) -> Asker:
        made.append(Asker(request.param, *arguments, **options))
        return made[-1]

    yield start
    for asker in made:
        asker.close()


@pytest.fixture
def real(make: Make, client: httpx.Client) -> Make:
    """Askers of the session's server."""
    return lambda **options: make(str(client.base_url), **options)


@pytest.fixture(scope="session")
def tables(made_once: Callable[..., Path], serve: Serve) -> httpx.Client:
    """A client of a server of tables, detectors and a flow."""

    def write(folder: Path) -> None:
        write_typed_bundle(folder)
        write_typed_bundle(folder, "conditional", context=True)
        write_tiny_bundle(folder, "tiny")
        write_detector_bundle(folder)
        write_detector_bundle(folder, "grouped", context=True, classes=[0, 1] * 9 + [0])
        write_detector_bundle(folder, "arrays", arrays=True)

    return serve("--store", made_once("tables", write)).client


@pytest.fixture
def of_tables(make: Make, tables: httpx.Client) -> Make:
    """Askers of that server, and of the table where they name no model."""
    return lambda **options: make(str(tables.base_url), **{"model": "typed"} | options)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("exchange", "asking"):
        monkeypatch.setattr(f"bijecta_client.{module}.monotonic", lambda: clock.now)
    monkeypatch.setattr("bijecta_client.client.sleep", clock.sleep)
    monkeypatch.setattr("bijecta_client.client.anyio.sleep", clock.sleep_async)
    return clock
