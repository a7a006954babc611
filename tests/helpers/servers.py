"""A server in a process of its own."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import httpx


@dataclass
class Served:
    """A server in a process of its own, and a client of it."""

    client: httpx.Client
    process: subprocess.Popen[str]
    log: list[str]

    def end(self) -> None:
        """Stop it, if it still runs."""
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=40)

    def is_ready(self) -> bool:
        """Whether its models are loaded."""
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False


Serve = Callable[..., Served]
