"""Memory that runs of an exported graph take, measured in a process of its own."""

import subprocess
import sys
import tempfile

_PROGRAM = """if True:
    import sys
    from pathlib import Path

    import numpy as np

    from service.runtime import Device
    from tests.benchmarks.common.machine import memory

    session = Device.choose("cpu").session(Path(sys.argv[1]).read_bytes(), plans_memory=False)
    rows, peaks = int(sys.argv[2]), []
    for count in (1, rows):
        Path("/proc/self/clear_refs").write_text("5")  # loading may have taken more
        feed = {
            value.name: np.full(
                (count, *value.shape[1:]), 0.5, np.float64 if "double" in value.type else np.float32
            )
            for value in session.get_inputs()
        }
        for _ in range(3):
            session.run(None, feed)
        peaks.append(memory("self", "VmHWM"))
    print((peaks[1] - peaks[0]) / (rows - 1))
"""


def row_memory(content: bytes, rows: int) -> float:
    """Bytes that each row of a run takes beyond those of a single one.

    Args:
        content: an ONNX file.
        rows: of the run, at least 2.
    """
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(content)
        file.flush()
        command = [sys.executable, "-c", _PROGRAM, file.name, str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)
