"""Feed every parser inputs that are almost right, and watch it.

    python -m tests.hostile.fuzz --inputs 5000000 --large 20000 --results FOLDER

Every parser of `tests.helpers.parsers` gets its share: small inputs of at most 4 KB, mutated from
its seeds, and large ones of up to some megabytes. A find is an exception that is not the service's
own, a second spent on one input, a process above 500 MB, and the death or silence of a process.
Finds are written to FOLDER/finds; copy them to tests/hostile/finds with their cure. Writes
FOLDER/fuzz.md and fuzz.json; exits with 1 where there are finds.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter, defaultdict
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tqdm import tqdm

from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.helpers.parsers import PARSERS
from tests.hostile.fuzzing.finds import keep
from tests.hostile.fuzzing.run import Board, Find, Report, Task, run_task

SMALL_OF_TASK = 2000
LARGE_OF_TASK = 10
SILENCE_SECONDS = 30


def tasks_of(inputs: int, large: int) -> list[Task]:
    """Tasks of every parser in turn, as many inputs in all as asked for."""
    tasks: list[Task] = []
    for total, size, is_large in ((inputs, SMALL_OF_TASK, False), (large, LARGE_OF_TASK, True)):
        for place, name in enumerate(PARSERS):
            share = total // len(PARSERS) + (place < total % len(PARSERS))
            tasks += [
                Task(name, number, min(size, share - number * size), is_large)
                for number in range(-(-share // size))
            ]
    return sorted(tasks, key=lambda task: (task.number, task.is_large))


class Worker:
    """A process that runs tasks, and is replaced when it dies or falls silent.

    Args:
        board: the file on which it writes what it parses.
    """

    def __init__(self, board: Path) -> None:
        self._path = board
        self.board = Board(board)
        self.start()

    def start(self) -> None:
        """Start the process anew."""
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, self._path), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self._seen = (self.board.count, time.monotonic())

    def give(self, task: Task) -> None:
        """Let it run a task."""
        self.task = task
        self.pipe.send(task)
        self._seen = (self.board.count, time.monotonic())

    @property
    def is_silent(self) -> bool:
        """Whether it has been at one input for too long."""
        count, since = self._seen
        if self.board.count != count:
            self._seen = (self.board.count, time.monotonic())
            return False
        return self.task is not None and time.monotonic() - since > SILENCE_SECONDS

    def buried(self, what: str) -> Report:
        """End it and start another; the report of the input at which it was."""
        assert self.task is not None
        find = Find(self.task.parser, what, self.board.data)
        report = Report(self.task, finds=[find])
        self.process.kill()
        self.process.join()
        self.start()
        return report


def _work(pipe: Connection, path: Path) -> None:
    board = Board(path)
    while True:
        pipe.send(run_task(pipe.recv(), board.write))


def run(tasks: list[Task], processes: int, folder: Path) -> list[Report]:
    """Run tasks in several processes; their reports, in the order in which they came."""
    workers = [Worker(folder / f"board-{number}") for number in range(processes)]
    waiting, reports = tasks[::-1], list[Report]()
    total = sum(task.inputs for task in tasks)
    with tqdm(total=total, unit=" inputs", unit_scale=True, mininterval=5) as bar:
        while waiting or any(worker.task for worker in workers):
            for worker in workers:
                if worker.task is None and waiting:
                    worker.give(waiting.pop())
            ready = wait([worker.pipe for worker in workers if worker.task], timeout=1)
            for worker in workers:
                if worker.pipe in ready:
                    try:
                        report = worker.pipe.recv()
                        worker.task = None
                    except (EOFError, OSError):
                        worker.process.join()
                        report = worker.buried(f"ended with {worker.process.exitcode}")
                elif worker.is_silent:
                    report = worker.buried(f"no end after {SILENCE_SECONDS} s")
                else:
                    continue
                reports.append(report)
                bar.update(report.task.inputs)
    for worker in workers:
        worker.process.kill()
        worker.process.join()
    return reports


def page(reports: list[Report], seconds: float, processes: int) -> str:
    """What came of it, as Markdown."""
    by_parser: dict[str, list[Report]] = defaultdict(list)
    for report in reports:
        by_parser[report.task.parser].append(report)
    rows = []
    for name, some in by_parser.items():
        counts = Counter[bool]()
        for report in some:
            counts[report.task.is_large] += report.task.inputs
        accepted = sum(report.accepted for report in some) / counts.total()
        slowest, peak = max(r.slowest for r in some), max(r.peak for r in some)
        finds = len({find.what for report in some for find in report.finds})
        rows.append(
            [name, f"{counts[False]:,}", f"{counts[True]:,}", f"{accepted:.1%}",
             f"{1000 * slowest:.0f}", f"{peak / 1e6:.0f}", str(finds)]
        )  # fmt: skip
    total = sum(report.task.inputs for report in reports)
    columns = ("parser", "small", "large", "read", "slowest, ms", "peak, MB", "finds")
    return "\n".join(
        [
            "# Fuzzing",
            "",
            f"{total:,} inputs in {seconds:.0f} s, {total / seconds:,.0f} a second in {processes} "
            f"processes. {cpu_name()}.",
            "",
            *table(columns, rows),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="small ones")
    parser.add_argument("--large", type=int, default=1000, help="large ones")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bijecta-fuzz-") as folder:
        tasks = tasks_of(arguments.inputs, arguments.large)
        reports = run(tasks, arguments.processes, Path(folder))
    text = page(reports, time.perf_counter() - started, arguments.processes)
    finds = {(f.parser, f.what): f for report in reports for f in report.finds}
    kept = [
        {"parser": find.parser, "what": find.what, "bytes": len(find.data),
         "file": keep(find, arguments.results / "finds").name}
        for find in finds.values()
    ]  # fmt: skip
    lines = [
        f"- {one['parser']}: {one['what']} ({one['file']}, {one['bytes']} bytes)" for one in kept
    ]
    (arguments.results / "fuzz.md").write_text("\n".join([text, *lines, ""]))
    (arguments.results / "fuzz.json").write_text(json.dumps(kept, indent=1) + "\n")
    print("\n".join([text, *lines]))
    return 1 if kept else 0


if __name__ == "__main__":
    sys.exit(main())
