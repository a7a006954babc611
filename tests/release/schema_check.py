"""schemathesis on a server: what /openapi.json says is what it does.

    make test-schema

serves a flow and a detector, and asks what their description allows, and what it does not, with
every check but one: `positive_data_acceptance` wants whatever fits the description to be answered,
and no description knows the shape of a row of the model that a body names.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.serving.server import Server
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.tiny import write_tiny_bundle

SKIPPED = ("positive_data_acceptance",)


class Small:
    """A store of small bundles.

    Args:
        folder: for it.
    """

    def __init__(self, folder: Path) -> None:
        self._store = folder / "store"
        self._store.mkdir()
        write_tiny_bundle(self._store, "tiny")
        write_detector_bundle(self._store, "detector")

    def command(self, port: int) -> list[str]:
        """What serves it."""
        serve = [sys.executable, "-m", "service.cli", "serve", "--device", "cpu"]
        return [*serve, "--store", str(self._store), "--port", str(port), "--default-model", "tiny"]


def main() -> int:
    schemathesis, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="bijecta-schema-") as name:
        folder = Path(name)
        with Server(Small(folder), folder / "server.log") as server:
            url = f"http://127.0.0.1:{server.port}/openapi.json"
            command = [schemathesis, "run", url, "--checks", "all"]
            command += ["--exclude-checks", ",".join(SKIPPED), *options]
            return subprocess.run(command, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
