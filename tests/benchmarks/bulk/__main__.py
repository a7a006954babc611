"""`bijecta score` beside onnxruntime's own loop over the same graph on arrays in memory.

    python -m tests.benchmarks.bulk BUNDLE [--rows 10000000] [--blocks 3] [--work FOLDER]

BUNDLE is a flow of columns of float32. A file of Parquet is made with an identifier and a column
for each coordinate. The two take turns; a turn of ours is the whole command, its start and its
writing too, and one of the loop the runs alone, in as many threads and in batches as large. Where
other work shares the CPUs, CPU seconds say more than seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

from service.bulk.scorers.bundle import CPU_BATCH_ROWS
from service.runtime import granted_cpus, session_options
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table

LEAST_SHARE = 0.85
"""Of the loop's rows a second."""
MOST_BYTES = 10**9

AT_ONCE = 500_000


class Turn(NamedTuple):
    """What one turn took: seconds, CPU seconds, and the largest memory of the process in bytes."""

    seconds: float
    cpu: float
    memory: int = 0


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bulk")
    parser.add_argument("bundle", type=Path, help="store/NAME/VERSION")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/bench-bulk"))
    parser.add_argument("--loop", action="store_true", help=argparse.SUPPRESS)
    add_results_option(parser)
    arguments = parser.parse_args()
    source = arguments.work / "rows.parquet"
    if arguments.loop:
        print(json.dumps(_loop(arguments.bundle / "encode.onnx", source)))
        return 0
    manifest = json.loads((arguments.bundle / "manifest.json").read_text())
    (width,) = manifest["event_shape"]
    arguments.work.mkdir(parents=True, exist_ok=True)
    _write(source, arguments.rows, width)
    own = [sys.executable, "-m", "tests.benchmarks.bulk", str(arguments.bundle), "--loop"]
    loops, ours = list[Turn](), list[Turn]()
    for _ in range(arguments.blocks):
        command = [*own, "--work", str(arguments.work)]
        loops.append(Turn(*json.loads(subprocess.check_output(command))))
        ours.append(_ours(arguments.bundle, source, arguments.work / "scores.parquet"))
        print(loops[-1], ours[-1], file=sys.stderr, flush=True)
    shares = [
        float(np.median([loop[i] / mine[i] for loop, mine in zip(loops, ours, strict=True)]))
        for i in (0, 1)
    ]
    memory = max(turn.memory for turn in ours)
    bars = [
        Bar("rows a CPU second, of the loop's", shares[1], LEAST_SHARE, floor=True),
        Bar("largest memory in bytes", memory, MOST_BYTES),
    ]
    rows = [
        [f"{who} {i + 1}", f"{turn.seconds:.1f}", f"{turn.cpu:.1f}", _mib(turn.memory)]
        for i, pair in enumerate(zip(loops, ours, strict=True))
        for who, turn in zip(("loop", "ours"), pair, strict=True)
    ]
    lines = [
        "# Scoring files",
        "",
        f"{arguments.rows:,} rows of {width} columns of float32 in Parquet, by a flow of family "
        f"`{manifest['family']}`, on {granted_cpus()} CPUs ({cpu_name()}). Of the loop's rows a "
        f"second `bijecta score` has {shares[0]:.2f} (median), of its rows a CPU second "
        f"{shares[1]:.2f}, everything from its start to the written file included.",
        "",
        *table(["turn", "seconds", "CPU seconds", "VmHWM, MiB"], rows),
    ]
    content = {"loop": loops, "ours": ours, "rows": arguments.rows, "columns": width}
    return publish(arguments.results, "bulk", content, "\n".join(lines), bars)


def _mib(memory: int) -> str:
    return f"{memory / 2**20:.0f}" if memory else ""


def _write(path: Path, rows: int, width: int) -> None:
    """Normal numbers, and the number of each row."""
    rng = np.random.default_rng(0)
    names = ["id", *(f"c{i}" for i in range(width))]
    schema = pa.schema([(name, pa.float32() if i else pa.int64()) for i, name in enumerate(names)])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, AT_ONCE):
            n = min(AT_ONCE, rows - start)
            columns = [np.arange(start, start + n)]
            columns += list(rng.standard_normal((width, n), np.float32))
            writer.write_table(pa.Table.from_arrays(list(map(pa.array, columns)), schema=schema))


def _loop(graph: Path, source: Path) -> Turn:
    """Runs of the graph on rows in memory, in a thread for each CPU."""
    file = pq.ParquetFile(source)
    x = np.concatenate(
        [
            np.stack([column.to_numpy() for column in batch.columns[1:]], axis=1)
            for batch in file.iter_batches()
        ]
    )
    session = onnxruntime.InferenceSession(
        graph, session_options(), providers=["CPUExecutionProvider"]
    )
    log_prob = np.empty(len(x), np.float32)

    def work(part: np.ndarray) -> None:
        for start in part.tolist():
            stop = start + CPU_BATCH_ROWS
            (log_prob[start:stop],) = session.run(["log_prob"], {"x": x[start:stop]})

    starts = np.array_split(np.arange(0, len(x), CPU_BATCH_ROWS), granted_cpus())
    threads = [threading.Thread(target=work, args=(part,)) for part in starts]
    began, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Turn(time.perf_counter() - began, time.process_time() - cpu)


def _ours(bundle: Path, source: Path, out: Path) -> Turn:
    """The whole command."""
    score = [sys.executable, "-m", "service.cli", "score", str(bundle), str(source)]
    options = ["--keep", "id", "--out", str(out), "--overwrite", "--quiet", "--device", "cpu"]
    began = time.perf_counter()
    process = subprocess.Popen([*score, *options])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("bijecta score failed")
    cpu = usage.ru_utime + usage.ru_stime
    return Turn(time.perf_counter() - began, cpu, 1024 * usage.ru_maxrss)


if __name__ == "__main__":
    sys.exit(main())
