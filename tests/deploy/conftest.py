"""What the server answers, for the tests of what asks it."""

import pytest

from service.http.app import create_app
from service.server import Server
from service.settings import Settings


@pytest.fixture(scope="session")
def routes() -> set[str]:
    """The paths of the server."""
    app = create_app(Server(Settings(device="cpu")))
    return set(app.app.openapi()["paths"])  # type: ignore[attr-defined]
