"""A detector that is fitted and served as users do."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bijecta_client import Client
from tests.helpers.waiting import free_port


def fitted(table: Path, folder: Path) -> Path:
    """Fit a detector of the name `table` to a file of rows; returns the store, in the folder."""
    store = folder / "store"
    command = [sys.executable, "-m", "service.cli", "fit-detector", str(table)]
    command += ["--name", "table", "--store", str(store), "--out", str(folder / "run")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return store


@contextmanager
def served(store: Path) -> Iterator[str]:
    """A server of a store; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "service.cli", "serve", "--store", str(store)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        with Client(url, "table") as client:
            while not client.ready():
                if server.poll() is not None:
                    raise SystemExit(f"the server ended with {server.returncode}")
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait()
