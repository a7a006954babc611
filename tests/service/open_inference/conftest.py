"""A server of the Open Inference Protocol, and Triton's own clients of it, sync and aio."""

from pathlib import Path

import httpx
import pytest

from tests.helpers.open_inference import Caller
from tests.helpers.servers import Serve


@pytest.fixture(scope="module")
def native(store: Path, serve: Serve) -> httpx.Client:
    """A client of a server that takes orders to load and unload."""
    return serve("--store", store, "--model-control", "true").client


@pytest.fixture(params=["sync", "aio"])
def call(native: httpx.Client, request: pytest.FixtureRequest) -> Caller:
    """A caller by either client of tritonclient."""
    return Caller(native.base_url.netloc.decode(), request.param == "aio")
