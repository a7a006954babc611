"""What the processes of one server take of the machine, under the names of one process."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

START, MOST_FILES = "process_start_time_seconds", "process_max_fds"
CPU = "process_cpu_seconds"


class ProcessFigures(Collector):
    """Sums over processes; of the start, and of what one process may open, the least.

    The CPU time of workers that have ended is in it: their parent has waited for them.

    Args:
        processes: their numbers, the parent's first.
    """

    def __init__(self, processes: Callable[[], Sequence[int]]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        parent, *workers = self._processes()
        families: dict[str, Metric] = {}
        for process in (parent, *workers):
            of_one = ProcessCollector(pid=lambda number=process: number, registry=None)  # type: ignore[misc]
            for family in of_one.collect():
                (sample,) = family.samples
                if (so_far := families.get(family.name)) is None:
                    families[family.name] = family
                    continue
                (before,) = so_far.samples
                pair = before.value, sample.value
                least = family.name in (START, MOST_FILES)
                so_far.samples = [before._replace(value=min(pair) if least else sum(pair))]
        if CPU in families:
            (sample,) = families[CPU].samples
            seconds = sample.value + _seconds_of_ended(parent)
            families[CPU].samples = [sample._replace(value=seconds)]
        yield from families.values()


def _seconds_of_ended(parent: int) -> float:
    """CPU time of the processes that one has waited for."""
    try:
        fields = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
