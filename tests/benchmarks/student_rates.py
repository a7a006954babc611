"""How many rows a second students draw on a GPU.

    python -m tests.benchmarks.student_rates NAME=GRAPH …

Times decode graphs, as `export` writes them, in onnxruntime with the server's settings for a GPU:
float32 without TF32. Latents and draws stay on the GPU, as where the next thing that reads them is
there; and once more from the host's memory and back to it. Writes results/students-gpu.json and
the page results/students-gpu.md.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from service.device import CUDA
from tests.benchmarks.inverse_graph import open_graph
from tests.benchmarks.markdown import table
from tests.benchmarks.turns import Side, in_turns

RESULTS = Path(__file__).parent / "results"

BATCHES = (64, 4096, 65_536, 262_144)

STAYS, RETURNS = "on the GPU", "to the host"


def rates(graph: Path, batch: int) -> dict[str, float]:
    """Rows per second, with draws that stay on the GPU and with draws that return."""
    session = open_graph(graph, "cuda")
    (source,) = session.get_inputs()
    shape = (batch, *source.shape[1:])
    z = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_input(source.name, onnxruntime.OrtValue.ortvalue_from_numpy(z, "cuda", 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", 0)
    sides = {
        STAYS: Side(partial(session.run_with_iobinding, binding)),
        RETURNS: Side(partial(session.run, None, {source.name: z})),
    }
    return {name: batch / median(taken) for name, taken in in_turns(sides, "cuda").items()}


def main(graphs: dict[str, Path]) -> int:
    """Time all graphs, and write the page."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    gpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    found = {
        name: {batch: rates(graph, batch) for batch in BATCHES} for name, graph in graphs.items()
    }
    lines = [
        "# Students on a GPU",
        "",
        f"Made by `python -m tests.benchmarks.student_rates` on {gpu}, onnxruntime "
        f"{onnxruntime.__version__}, {CUDA}, float32 without TF32: samples per second.",
        "",
    ]
    for name, by_batch in found.items():
        lines += [f"## {name}", ""]
        cells = [
            (f"{batch:,}", *(f"{rate[side]:,.4g}" for side in (STAYS, RETURNS)))
            for batch, rate in by_batch.items()
        ]
        lines += table(("batch", STAYS, RETURNS), cells)
    page = "\n".join(lines).rstrip() + "\n"
    content = {"gpu": gpu, "rates": found}
    (RESULTS / "students-gpu.json").write_text(json.dumps(content, indent=1) + "\n")
    (RESULTS / "students-gpu.md").write_text(page)
    print(page)
    return 0


if __name__ == "__main__":
    named = (argument.partition("=") for argument in sys.argv[1:])
    sys.exit(main({name: Path(path) for name, _, path in named}))
