"""How many rows a second students draw on a GPU.

    python -m tests.benchmarks.students.rates NAME=GRAPH … NAME@8000=GRAPH …

Times decode graphs, as `export` writes them, in onnxruntime with the server's settings for a GPU:
float32 without TF32. Latents and draws stay on the GPU, as where the next thing that reads them is
there; and once more from the host's memory and back to it. Of sounds, named with the samples of a
second, it says how much faster they are than real time. Writes results/students-gpu.json and the
page results/students-gpu.md.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from service.runtime.devices import CUDA
from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.inverse.graph import open_graph

BATCHES = (64, 4096, 65_536, 262_144)
SOUND_BATCHES = (1, 16, 256)

STAYS, RETURNS = "on the GPU", "to the host"


def rates(graph: Path, batch: int, sound: int | None) -> dict[str, float]:
    """What is drawn in a second, with draws that stay on the GPU and with draws that return.

    Rows; where they are sounds, of so many samples a second, seconds of them.
    """
    session = open_graph(graph, "cuda")
    shapes = {source.name: (batch, *source.shape[1:]) for source in session.get_inputs()}
    feeds = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    feeds["z"] = np.random.default_rng(0).standard_normal(shapes["z"], dtype=np.float32)
    binding = session.io_binding()
    for name, values in feeds.items():
        there = onnxruntime.OrtValue.ortvalue_from_numpy(values, "cuda", 0)
        binding.bind_ortvalue_input(name, there)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", 0)
    sides = {
        STAYS: Side(partial(session.run_with_iobinding, binding)),
        RETURNS: Side(partial(session.run, None, feeds)),
    }
    drawn = batch if sound is None else batch * shapes["z"][1] / sound
    return {name: drawn / median(taken) for name, taken in in_turns(sides, "cuda").items()}


def main(graphs: dict[str, Path]) -> int:
    """Time all graphs, and write the page."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    gpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    lines = [
        "# Students on a GPU",
        "",
        f"Made by `python -m tests.benchmarks.students.rates` on {gpu}, onnxruntime "
        f"{onnxruntime.__version__}, {CUDA}, float32 without TF32.",
        "",
    ]
    found = {}
    for named, graph in graphs.items():
        name, _, samples = named.partition("@")
        sound = int(samples) if samples else None
        batches = BATCHES if sound is None else SOUND_BATCHES
        found[name] = {batch: rates(graph, batch, sound) for batch in batches}
        what = "rows per second" if sound is None else f"times real time at {sound} Hz"
        lines += [f"## {name}, {what}", ""]
        cells = [
            (f"{batch:,}", *(f"{rate[side]:,.4g}" for side in (STAYS, RETURNS)))
            for batch, rate in found[name].items()
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
