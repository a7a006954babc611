"""One process of the fuzzer: inputs of one parser after another, each watched."""

import mmap
import random
import resource
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.parsers import PARSERS, Parser
from tests.hostile.fuzzing.large import large_input
from tests.hostile.fuzzing.mutations import mutated, mutations

MAX_SECONDS = 1.0
MAX_MEMORY = 500 * 10**6
BOARD_BYTES = 2**25
HEAD = struct.Struct("<QQ")


@dataclass(frozen=True)
class Task:
    """Some inputs of one parser, the same whenever it is run.

    Args:
        parser: its name.
        number: of the task: chance begins here.
        inputs: how many.
        is_large: whether they are large ones.
    """

    parser: str
    number: int
    inputs: int
    is_large: bool

    def make(self) -> Iterator[bytes]:
        """The inputs.

        Raises:
            ValueError: the parser has no seeds.
        """
        seeds, using = PARSERS[self.parser].seeds, mutations(self.parser)
        if not any(seeds):
            raise ValueError(f"{self.parser} has no seeds: add some in tests/helpers/parsers.py")
        chance = random.Random(f"{self.parser}/{self.number}/{self.is_large}")
        for _ in range(self.inputs):
            if self.is_large:
                yield large_input(chance, self.parser, seeds)
            else:
                yield mutated(chance, seeds, using)


@dataclass(frozen=True)
class Find:
    """An input that a parser should have read or refused.

    Args:
        parser: its name.
        what: what it did instead, in words.
        data: the input.
    """

    parser: str
    what: str
    data: bytes


@dataclass
class Report:
    """What a task has shown.

    Args:
        task: which.
        accepted: how many inputs were read.
        slowest: seconds of the slowest input.
        peak: most bytes of memory that the process has had.
        finds: what should not be.
    """

    task: Task
    accepted: int = 0
    slowest: float = 0.0
    peak: int = 0
    finds: list[Find] = field(default_factory=list)


class Board:
    """A file on which a process writes what it is about to parse, for whoever finds it dead.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(b"")
            with path.open("r+b") as made:
                made.truncate(BOARD_BYTES)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), BOARD_BYTES)
        self._count = 0

    def write(self, data: bytes) -> None:
        """Write the next input."""
        self._count += 1
        kept = data[: BOARD_BYTES - HEAD.size]
        self._map[HEAD.size : HEAD.size + len(kept)] = kept
        HEAD.pack_into(self._map, 0, self._count, len(kept))

    @property
    def count(self) -> int:
        """How many inputs have been written."""
        count: int = HEAD.unpack_from(self._map)[0]
        return count

    @property
    def data(self) -> bytes:
        """The last input."""
        return self._map[HEAD.size : HEAD.size + HEAD.unpack_from(self._map)[1]]


def peak_memory() -> int:
    """Most bytes that this process has had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_task(task: Task, write: Callable[[bytes], None]) -> Report:
    """Parse the inputs of a task.

    Args:
        task: which.
        write: is told of each input before it is parsed.
    """
    report, parser = Report(task), PARSERS[task.parser]
    seen: set[str] = set()
    # memory is judged by what this task adds to the process's own
    before = peak_memory()
    limit = max(MAX_MEMORY, before + MAX_MEMORY // 2)
    for data in task.make():
        write(data)
        what, seconds, accepted = parse(parser, data)
        report.accepted += accepted
        if seconds > MAX_SECONDS:  # once more: the machine may have had other work
            seconds = min(seconds, parse(parser, data)[1])
            if seconds > MAX_SECONDS:
                what = what or f"took {seconds:.1f} s"
        report.slowest = max(report.slowest, seconds)
        if peak_memory() > limit:
            limit = peak_memory()
            what = what or f"took the process to {limit / 1e6:.0f} MB"
        if what and what not in seen:
            seen.add(what)
            report.finds.append(Find(task.parser, what, data))
    report.peak = peak_memory()
    return report


def parse(parser: Parser, data: bytes) -> tuple[str, float, bool]:
    """Parse one input: what went wrong, seconds, and whether it was accepted."""
    started, accepted, what = time.perf_counter(), False, ""
    try:
        accepted = parser.accepts(data)
    except BaseException as error:  # whatever it is, it is no refusal
        if isinstance(error, KeyboardInterrupt):
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} at {Path(place.filename).name}:{place.name}: {error!s:.120}"
    return what, time.perf_counter() - started, accepted
