"""A server whose faults are provoked: its store, its process, and its callers."""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from onnx import TensorProto, helper

from service.watching.watching import LEVELS
from tests.helpers.bad_bundles import replace_graph
from tests.helpers.detectors import SHAPE, write_detector_bundle
from tests.helpers.heavy import write_heavy_bundle
from tests.helpers.pages import ROOT
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import free_port, wait_until

INFLIGHT_MIB, CONNECTIONS, QUEUE_ROWS = 32, 40, 64

OPTIONS = {
    "device": "cpu:1",
    "poll_seconds": 1,
    "max_inflight_mib": INFLIGHT_MIB,
    "max_body_mib": INFLIGHT_MIB,
    "max_connections": CONNECTIONS,
    "queue_rows": QUEUE_ROWS,
    "batch_rows": 16,
}


class World:
    """A server of its own store, on a port that stays over restarts.

    Args:
        folder: of its files, which is made.
    """

    scheme = "http"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.store = folder / "store"
        self.store.mkdir()
        self.port = free_port()
        self.address = f"{self.scheme}://127.0.0.1:{self.port}"
        self.options: dict[str, Any] = {}
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def scraped(self) -> dict[str, Any]:
        """How Prometheus is to scrape it."""
        return {"static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]}

    def start(self, is_ready: bool = True) -> None:
        """Start it, and wait until it is ready, or has been asked whether it is."""
        command = [sys.executable, "-m", "service.cli", "serve", "--store", str(self.store)]
        settings = {f"BIJECTA_{name.upper()}": str(value) for name, value in self.options.items()}
        variables = {**os.environ, **settings, "BIJECTA_PORT": str(self.port)}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=variables, cwd=ROOT, stderr=log, stdout=log
            )
        wait_until(
            lambda: self._is_there(200 if is_ready else 503), 120, f"no server: {self._log}", 0.2
        )

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _is_there(self, status: int) -> bool:
        with suppress(httpx.TransportError):
            answer = httpx.get(f"{self.address}/health/ready", verify=False)
            return answer.status_code == status
        return False

    @contextmanager
    def callers(
        self, count: int, question: str, model: str, rows: Any, pause: float = 0.05
    ) -> Iterator[None]:
        """Have callers ask the same again and again, with a pause of so many seconds."""
        over = threading.Event()
        body = json.dumps({"model": model, "x": np.asarray(rows).tolist()})

        def go_on() -> None:
            with httpx.Client(base_url=self.address, timeout=60, verify=False) as http:
                while not over.is_set():
                    with suppress(httpx.TransportError):
                        http.post(f"/{question}", content=body)
                    over.wait(pause)

        threads = [threading.Thread(target=go_on) for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    @contextmanager
    def connections(self, count: int, sent: bytes = b"") -> Iterator[None]:
        """Keep connections open on which no more than the beginning of a request comes."""
        with_all = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(count)]
        try:
            for one in with_all:
                one.sendall(sent)
            yield
        finally:
            for one in with_all:
                one.close()

    def add_version(self, edited: bool) -> None:
        """Put a second version of `tiny` into the store; one that is edited is not what it says."""
        made = self.store / ".made"
        write_tiny_bundle(made, "tiny", 2)
        if edited:
            (made / "tiny" / "2" / "encode.onnx").write_bytes(b"altered")
        (made / "tiny" / "2").rename(self.store / "tiny" / "2")
        shutil.rmtree(made)


class OpenWorld(World):
    """A server of four small bundles that answers whoever comes.

    Args:
        folder: of its files.
        neighbour: another one, which is killed with it.
    """

    def __init__(self, folder: Path, neighbour: World) -> None:
        super().__init__(folder)
        self.options = OPTIONS
        self.neighbour = neighbour
        _write_bundles(self.store)


def normal_rows(count: int, shift: float = 0.0) -> list[list[float]]:
    """Rows of two numbers, as `tiny` knows them where they are not shifted."""
    rows: list[list[float]] = np.random.default_rng(1).normal(shift, 1, (count, 2)).tolist()
    return rows


def far_arrays(count: int) -> Any:
    """Rows of the detector that are anomalies."""
    return np.random.default_rng(1).normal(50, 1, (count, *SHAPE))


def _write_bundles(store: Path) -> None:
    path = write_tiny_bundle(store, "tiny")
    # log_prob is the sum of two normal numbers
    sums = statistics.NormalDist(0, 2**0.5)
    quantiles = [sums.inv_cdf(level) for level in LEVELS]
    edit(path, calibration={"rows": 1000, "levels": LEVELS, "log_prob": quantiles})
    scores = np.abs(np.random.default_rng(2).normal(size=2000)).tolist()
    write_detector_bundle(store, "detector", arrays=True, scores=scores)
    write_heavy_bundle(store)
    _write_failing_bundle(store)


def _write_failing_bundle(store: Path) -> None:
    """Write a bundle whose graph fails on rows with a number that is not 0, 1 or 2."""
    path = write_tiny_bundle(store, "failing")
    edit(path, self_test=None)
    nodes = [
        helper.make_node("Cast", ["x"], ["places"], to=TensorProto.INT64),
        helper.make_node("Gather", ["known", "places"], ["z"]),
        helper.make_node("ReduceSum", ["z", "axes"], ["log_prob"], keepdims=0),
    ]
    known = helper.make_tensor("known", TensorProto.FLOAT, [3], [0.0, 1.0, 2.0])
    replace_graph(path, "encode.onnx", nodes, {"x": ["N", 2]}, {"z": ["N", 2]}, [known])
