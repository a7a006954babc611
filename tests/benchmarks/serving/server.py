"""Our server as a process of its own, on a store with one untrained flow (`serving_models`)."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tests.benchmarks.common.checkout import ROOT, environment
from tests.benchmarks.common.machine import memory
from tests.benchmarks.serving.load_requests import OPENER
from tests.helpers.waiting import free_port

START_SECONDS = 180
STOP_SECONDS = 40


@dataclass(frozen=True)
class Served:
    """A flow of `serving_models`.

    Args:
        models: their folder.
        dimensions: which.
    """

    models: Path
    dimensions: int

    @property
    def store(self) -> Path:
        """The store that holds it alone."""
        return self.models / str(self.dimensions) / "store"

    @property
    def graph(self) -> Path:
        """The graph that gives log-densities."""
        return self.store / "maf" / "1" / "encode.onnx"

    @property
    def bytes(self) -> int:
        """Of both graphs: the server loads both."""
        return sum(file.stat().st_size for file in self.graph.parent.glob("*.onnx"))

    def command(self, port: int) -> list[str]:
        """What serves it."""
        serve = [sys.executable, "-m", "service.cli", "serve"]
        return [*serve, "--store", str(self.store.resolve()), "--port", str(port)]


class Servable(Protocol):
    """What can be served."""

    def command(self, port: int) -> list[str]:
        """What serves it."""
        ...


class Server:
    """A server that runs while this is entered.

    Args:
        served: what it serves.
        log: a file for what it says.
        checkout: whose code it runs.
        options: of `bijecta serve`, beside store and port.
        cpus: that it may use; all of this process where there are none.
    """

    def __init__(
        self,
        served: Servable,
        log: Path,
        checkout: Path = ROOT,
        options: Sequence[str] = (),
        cpus: Sequence[int] = (),
    ) -> None:
        self.port = free_port()
        self._served = served
        self._log = log
        self._checkout = checkout
        self._options = options
        self._cpus = cpus

    def __enter__(self) -> "Server":
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._served.command(self.port), *self._options],
                cwd=self._checkout,  # the first place where Python looks for the code
                env=environment(self._checkout),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            if self._cpus:  # long before it counts them, as Python takes a while to start
                os.sched_setaffinity(self._process.pid, self._cpus)
            self._wait()
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def process(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def resident(self) -> int:
        """Bytes of memory that it has now."""
        return memory(self.process)

    def _wait(self) -> None:
        """Until it is ready."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self._process.poll() is None:
            try:
                OPENER.open(f"http://127.0.0.1:{self.port}/health/ready", timeout=5).close()
                return
            except OSError:  # not there yet, or not ready
                time.sleep(0.1)
        raise RuntimeError(f"the server did not start:\n{self._log.read_text()[-2000:]}")
