"""A server in a process of its own."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Served:
    """A server in a process of its own, and a client of it."""

    client: httpx.Client
    process: subprocess.Popen[str]
    log: list[str]

    @property
    def workers(self) -> list[int]:
        """The numbers of the processes that it has started."""
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text()
        return [int(child) for child in children.split()]

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
