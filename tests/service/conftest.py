"""Servers that tests of several folders ask, and what each of their modules has to close."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.engine.workers import Workers
from tests.helpers.servers import Serve
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="session")
def limited(store: Path, serve: Serve) -> httpx.Client:
    """A client of a server with low limits."""
    return serve("--store", store, "--max-rows", "1000", "--max-body-mib", "1").client


@pytest.fixture(scope="module", autouse=True)
def _models_are_closed() -> Iterator[None]:
    """Fail a module that leaves models open: their threads are those that other tests count."""
    before = _threads_of_models()
    yield
    wait_until(lambda: _threads_of_models() <= before, 10, "a model is left open")


def _threads_of_models() -> set[threading.Thread]:
    return {
        thread
        for thread in threading.enumerate()
        if isinstance(getattr(getattr(thread, "_target", None), "__self__", None), Workers)
    }
