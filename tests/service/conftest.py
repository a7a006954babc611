"""Servers that tests of several folders ask."""

from pathlib import Path

import httpx
import pytest

from tests.helpers.servers import Serve


@pytest.fixture(scope="session")
def limited(store: Path, serve: Serve) -> httpx.Client:
    """A client of a server with low limits."""
    return serve("--store", store, "--max-rows", "1000", "--max-body-mib", "1").client
