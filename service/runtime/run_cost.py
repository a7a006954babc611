"""What a run takes of memory and time, by a process that does nothing else."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.runtime.devices import Device

MAX_SECONDS = 300.0
COMMAND = "from service.runtime.run_cost import say_run_cost; say_run_cost()"
GRAPH, ROWS = "graph.onnx", "rows.npz"


class RunFigures(NamedTuple):
    """What runs of one thread were measured to take.

    Args:
        row_bytes: memory, for each row more.
        single_ms, batch_ms: CPU time of a run of one row, and of all.
    """

    row_bytes: int
    single_ms: float
    batch_ms: float


def measured_run(content: bytes, rows: Mapping[str, NDArray[Any]]) -> RunFigures | None:
    """Measure runs of a graph on a CPU, without a plan of memory (`Device.session`).

    Memory is that of onnxruntime's arena with its gaps, and of kernels beside it. Time is that of
    the CPU, which other processes disturb less than that of the clock.

    Args:
        content: of the ONNX file.
        rows: inputs by name, of a run of two rows at least; the other run has the first of them.

    Returns:
        None where the system does not say, which takes Linux.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / GRAPH).write_bytes(content)
        np.savez(folder / ROWS, allow_pickle=False, **rows)
        places = os.pathsep.join(place for place in sys.path if place)
        # glibc gives freed pieces of this size back at once: memory that is taken again later
        # would count as there already
        environment = os.environ | {"PYTHONPATH": places, "MALLOC_MMAP_THRESHOLD_": "65536"}
        try:
            done = subprocess.run(
                [sys.executable, "-c", COMMAND, name],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=MAX_SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            return None
    return RunFigures(*json.loads(done.stdout))


def say_run_cost() -> None:
    """Print the figures of `measured_run`: what the process of its own does."""
    folder = Path(sys.argv[1])
    with np.load(folder / ROWS) as file:
        batch = dict(file)
    single = {name: values[:1] for name, values in batch.items()}
    session = Device("cpu").session((folder / GRAPH).read_bytes(), plans_memory=False)

    def milliseconds(rows: dict[str, NDArray[Any]]) -> float:
        began = time.process_time()
        session.run(None, rows)
        return 1e3 * (time.process_time() - began)

    milliseconds(single)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins with what there is
    before = _peak()
    milliseconds(batch)
    row_bytes = (_peak() - before) // (len(next(iter(batch.values()))) - 1)
    # once all memory is there, as it is in a server
    print(json.dumps([row_bytes, milliseconds(single), milliseconds(batch)]))


def _peak() -> int:
    """The largest memory of this process, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])
