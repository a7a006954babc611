"""`/score` beside `/log_prob` of the same detector: what p-values, decisions and the watch cost.

    python -m tests.benchmarks.serving.scores --store STORE [--name wine-detector]

One connection asks both in turn, the same rows in Arrow; both run all of the detector's graph. The
figure is the ratio of their rates, the geometric mean over pairs of turns with its 95 % interval.
The test of drift works beside, once its first rows are tested (service/DRIFT.md). Writes
serving_scores.json and the page serving_scores.md; exits with 1 where the rate of `/score` is below
0.8 of that of `/log_prob`.
"""

import argparse
import http.client
import io
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.bundle import read_detector
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.serving.pairs import Ratio
from tests.benchmarks.serving.server import Server

MIN_RATIO = 0.8
ROWS = (1, 64, 1024, 16_384)
ARROW = "application/vnd.apache.arrow.stream"
PATHS = ("/log_prob", "/score")
TURN_SECONDS = 0.5
FIRST_REQUESTS = 500
"""Of 1,024 rows, after which the test of drift has taken its first two seconds."""


@dataclass(frozen=True)
class Stored:
    """A bundle in its folder, or a store of them."""

    store: Path

    def command(self, port: int) -> list[str]:
        """What serves it."""
        serve = [sys.executable, "-m", "service.cli", "serve"]
        return [*serve, "--store", str(self.store.resolve()), "--port", str(port)]


class Asker:
    """One connection that asks about rows of a model."""

    def __init__(self, port: int, name: str, row: dict[str, Any]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._name = name
        self._row = row

    def body(self, rows: int) -> bytes:
        """So many rows in Arrow."""
        columns = pa.table({name: [value] * rows for name, value in self._row.items()})
        content = io.BytesIO()
        with pa.ipc.new_stream(content, columns.schema) as stream:
            stream.write_table(columns)
        return content.getvalue()

    def ask(self, path: str, body: bytes) -> None:
        """Ask, and read the answer.

        Raises:
            RuntimeError: it is another than 200.
        """
        headers = {"Content-Type": ARROW, "Accept": ARROW}
        self._connection.request("POST", f"{path}?model={self._name}", body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:300]!r}")

    def seconds(self, path: str, body: bytes) -> float:
        """Seconds of a request, the mean of a turn."""
        begun, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < TURN_SECONDS or not count:
            self.ask(path, body)
            count += 1
        return passed / count


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving.scores")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--name", default="wine-detector")
    parser.add_argument("--pairs", type=int, default=20)
    add_results_option(parser)
    arguments = parser.parse_args()
    newest = max((arguments.store / arguments.name).glob("[0-9]*"), key=lambda p: int(p.name))
    manifest = read_detector(newest)
    if manifest.self_test is None:
        raise SystemExit(f"{newest} carries no row to ask with")
    row = dict(zip(manifest.column_names or (), manifest.self_test.row, strict=True))
    found: dict[int, tuple[float, Ratio]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Stored(newest), Path(folder) / "log") as server,
    ):
        asker = Asker(server.port, arguments.name, row)
        for _ in range(FIRST_REQUESTS):
            asker.ask("/score", asker.body(1024))
        for rows in ROWS:
            body = asker.body(rows)
            pairs = []
            for number in range(arguments.pairs):
                order = PATHS if number % 2 else PATHS[::-1]
                taken = {path: asker.seconds(path, body) for path in order}
                pairs.append((taken["/log_prob"], taken["/log_prob"] / taken["/score"]))
            found[rows] = (float(np.median([p for p, _ in pairs])), Ratio.of([r for _, r in pairs]))
            print(rows, *found[rows], flush=True)
    bars = [
        Bar(f"rate of /score over /log_prob, {rows} rows", ratio.mean, MIN_RATIO, floor=True)
        for rows, (_, ratio) in found.items()
    ]
    content = {rows: {"log_prob_seconds": s, **asdict(ratio)} for rows, (s, ratio) in found.items()}
    lines = [
        (f"{rows:,}", f"{1000 * seconds:.2f}", str(ratio))
        for rows, (seconds, ratio) in found.items()
    ]
    page = [
        "# `/score` beside `/log_prob` of the same detector",
        "",
        f"`{arguments.name}` ({manifest.configuration}, {manifest.dimensions} columns), "
        f"{arguments.pairs} pairs of turns, {cpu_name()}; "
        "`python -m tests.benchmarks.serving.scores`.",
        "",
        *table(("rows of a request", "/log_prob, ms", "rate of /score over /log_prob"), lines),
    ]
    described = {"model": arguments.name, "rows": content}
    return publish(arguments.results, "serving_scores", described, "\n".join(page) + "\n", bars)


if __name__ == "__main__":
    sys.exit(main())
