"""The server under test: a process of `bijecta serve` on a small store, watched from outside."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.benchmarks.common.machine import memory
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import write_typed_bundle

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "stored" / "format_1" / "store"
MODELS = ("maf", "maf-context", "nice")
START_SECONDS = 60
SAMPLE_SECONDS = 0.1
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def make_store(folder: Path) -> Path:
    """A store of three models whose graphs are simple formulas, and of a few real flows."""
    write_tiny_bundle(folder, "tiny")
    write_typed_bundle(folder, "typed")
    write_detector_bundle(folder)
    for name in MODELS:
        shutil.copytree(STORED / name, folder / name)
    return folder


class ServerUnderTest:
    """A server that runs while this is entered.

    Args:
        store: its folder of bundles.
        log: a file for what it says.
        options: of `bijecta serve`, beside store and port.
    """

    def __init__(self, store: Path, log: Path, options: Sequence[str] = ()) -> None:
        self.store = store
        self.log = log
        self._options = options
        self._trees = 0
        self._ended = threading.Event()

    def __enter__(self) -> "ServerUnderTest":
        kept = {name: v for name, v in os.environ.items() if not name.startswith("BIJECTA_")}
        command = [sys.executable, "-m", "service.cli", "serve", "--port", "0"]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--store", str(self.store), *self._options],
                cwd=ROOT,
                env={**kept, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self.idle = self.resident
        self.idle_lines = len(self.lines)
        self._watch = threading.Thread(target=self._watch_memory, daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ended.set()
        self._process.kill()
        self._process.wait()

    @property
    def lines(self) -> list[str]:
        """What it has said."""
        return self.log.read_text(errors="replace").splitlines()

    @property
    def resident(self) -> int:
        """Bytes of memory that it has now, its children's with it."""
        return sum(_memory(process) for process in _tree(self._process.pid))

    @property
    def peak(self) -> int:
        """Most bytes that it has had: of the process itself (VmHWM), or of it and its children."""
        return max(_memory(self._process.pid, "VmHWM"), self._trees)

    @property
    def threads(self) -> int:
        """How many threads it has."""
        return len(list(Path(f"/proc/{self._process.pid}/task").iterdir()))

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def internal_errors(self) -> float:
        """How many requests it has answered 500, as it counts them."""
        text = _page(self.port, "/metrics", 30)
        counts = re.findall(r'^bijecta_requests_total\{[^}]*code="500"[^}]*\} (\S+)', text, re.M)
        return sum(map(float, counts))

    def stop(self, limit: float) -> float:
        """Send SIGTERM; seconds until it has ended, or the limit."""
        peak = self.peak
        self._process.terminate()
        started = time.monotonic()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(limit)
        seconds = time.monotonic() - started
        self._trees = max(self._trees, peak)
        return seconds

    def _wait(self) -> None:
        """Until it is ready, and has answered once."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.is_alive:
            if match := re.search(r"running on http://127\.0\.0\.1:(\d+)", "\n".join(self.lines)):
                self.port = int(match[1])
                grpc = re.search(r"gRPC on \S+:(\d+)", "\n".join(self.lines))
                self.grpc_port = int(grpc[1]) if grpc else 0
                with contextlib.suppress(OSError):  # not ready yet
                    _page(self.port, "/health/ready")
                    _page(self.port, "/metrics")
                    return
            time.sleep(0.05)
        said = "\n".join(self.lines[-20:])
        raise RuntimeError(f"the server was not ready after {START_SECONDS} s:\n{said}")

    def _watch_memory(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            tree = _tree(self._process.pid)
            if len(tree) > 1:
                self._trees = max(self._trees, sum(map(_memory, tree)))


def _page(port: int, path: str, seconds: float = 5) -> str:
    with OPENER.open(f"http://127.0.0.1:{port}{path}", timeout=seconds) as page:
        text: str = page.read().decode()
        return text


def _memory(process: int, field: str = "VmRSS") -> int:
    try:
        return memory(process, field)
    except (OSError, ValueError):  # it has ended
        return 0


def _tree(process: int) -> list[int]:
    """A process and all that it has started."""
    found = [process]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found
