"""A store of one small bundle."""

from pathlib import Path

import pytest

from tests.helpers.running import NAME
from tests.helpers.tiny import write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one bundle that loads in milliseconds; not to be written to."""
    folder = tmp_path_factory.mktemp("telemetry")
    write_tiny_bundle(folder, NAME)
    return folder
