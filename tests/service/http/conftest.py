"""A store of one model, and questions that do not end by themselves."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from tests.helpers.asgi import Held


@pytest.fixture(scope="session")
def moons_store(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of moons-maf alone; not to be written to."""
    folder = tmp_path_factory.mktemp("moons")
    (folder / "moons-maf").symlink_to(store / "moons-maf")
    return folder


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Every run of an encode graph lasts until it is cancelled."""
    state = Held()

    async def encode(*_: Any) -> None:
        state.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            state.cancelled.set()
            raise

    monkeypatch.setattr(Engine, "encode", encode)
    return state
