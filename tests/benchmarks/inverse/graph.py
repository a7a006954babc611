"""ONNX graphs in onnxruntime: sessions, and the memory of one as the server opens it.

    python -m tests.benchmarks.inverse.graph FILE ROWS

prints by how many bytes the graph's session and some runs raise a fresh process's peak memory.
It imports no torch, whose own memory would blur the figure. Linux only.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from service.graphs import read_graph, row_bytes
from service.runtime import Device, plans_memory
from service.runtime.devices import CPU, CUDA, cuda_options, session_options
from tests.benchmarks.common.machine import memory

THREADS = 2
RUNS = 3


def open_graph(graph: Path | bytes, device: str) -> onnxruntime.InferenceSession:
    """A session on `cpu` with all threads for each run, or on `cuda`.

    Raises:
        RuntimeError: `cuda` was asked for and onnxruntime did not take it.
    """
    options = session_options(THREADS)
    if device == "cpu":
        return onnxruntime.InferenceSession(graph, options, providers=[CPU])
    onnxruntime.preload_dlls()
    session = onnxruntime.InferenceSession(graph, options, providers=[(CUDA, cuda_options(0)), CPU])
    if session.get_providers()[0] != CUDA:
        raise RuntimeError("onnxruntime could not use the GPU that torch can")
    return session


def peak_memory(graph: Path, rows: int) -> int:
    """Bytes by which a graph's session and runs of so many rows raise a process's peak memory."""
    command = [sys.executable, "-m", "tests.benchmarks.inverse.graph", str(graph), str(rows)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    path, rows = Path(sys.argv[1]), int(sys.argv[2])
    # what came before, the imports, must not have the highest peak
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("self")
    content = path.read_bytes()
    planned = plans_memory(row_bytes(read_graph(content)))
    session = Device.choose("cpu").session(content, plans_memory=planned)
    source = session.get_inputs()[0]
    shape = (rows, *source.shape[1:])
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for _ in range(RUNS):
        session.run(None, {source.name: values})
    print(memory("self", "VmHWM") - before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
