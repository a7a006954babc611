"""Clients, blocking and not, and a clock for them."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.helpers.askers import Asker, Clock, Make


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("exchange", "asking"):
        monkeypatch.setattr(f"bijecta_client.{module}.monotonic", lambda: clock.now)
    monkeypatch.setattr("bijecta_client.client.sleep", clock.sleep)
    monkeypatch.setattr("bijecta_client.client.anyio.sleep", clock.sleep_async)
    return clock
