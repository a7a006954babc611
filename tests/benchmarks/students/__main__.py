"""Samples of students beside their teachers': by D passes and by our own fast inverse.

    make bench-distill

Each student and its teacher, from the runs of `bijecta distill`, draw in the same onnxruntime with
two threads: the student in one pass; the teacher as the graph that `export` writes; and by as
many passes through each layer as there are dimensions, as other libraries sample. All passes cost
the same, so that of large batches some are timed and multiplied.

Writes results/students.json and the page results/students.md, and exits with 1 where a bar is
missed, with 2 where a run is missing. Nothing is trained here. Needs a machine that does nothing
else: two cores, some minutes.
"""

import math
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from service.bundle.manifests.fidelity import Fidelity
from tests.benchmarks.common.bar import RESULTS, Bar, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.inverse.graph import THREADS, open_graph
from tests.benchmarks.inverse.ours import graphs
from tests.benchmarks.students.passes import ByPasses
from training.errors import RunError
from training.export.graphs import draft
from training.runs.run import Run

BATCHES = (1, 4, 16, 64, 256, 1024)
LARGE = 784

# of the D passes through each layer, one in so many is timed, by batch
TIMED = {1: 1, 4: 1, 16: 2, 64: 4, 256: 16, 1024: 64}

STUDENT, FAST, PASSES = "student", "teacher, fast inverse", "teacher, D passes"


@dataclass(frozen=True)
class Pair:
    """A student and its teacher.

    Args:
        student, teacher: names of the runs.
        dimensions: D.
        parameters: of the student and of the teacher.
        fidelity: of the student's run, the same weights.
        error: largest difference between what both ways of the teacher make of the same latents,
            of the range.
        rates: samples per second of each way, by batch.
    """

    student: str
    teacher: str
    dimensions: int
    parameters: tuple[int, int]
    fidelity: Fidelity
    error: float
    rates: dict[int, dict[str, float]]


def measure(run: Run) -> Pair:
    """Time a student and its teacher."""
    flows = [one.best_flow().requires_grad_(False) for one in (run, run.teacher())]
    student = open_graph(draft(flows[0], "z", "x").finish(None), "cpu")
    fast = open_graph(graphs(flows[1]).decode, "cpu")
    slow = ByPasses(flows[1])
    few = flows[1].base.sample(4, torch.Generator().manual_seed(0)).numpy()
    by_fast, by_slow = fast.run(["x"], {"z": few})[0], slow.decode(few)
    dimensions = math.prod(flows[0].bijection.event_shape)
    rates = {}
    for batch in BATCHES:
        z = flows[1].base.sample(batch, torch.Generator().manual_seed(batch)).numpy()
        timed = TIMED[batch] if dimensions == LARGE else 1
        sides = {
            STUDENT: Side(partial(student.run, None, {"z": z})),
            FAST: Side(partial(fast.run, None, {"z": z})),
            PASSES: Side(partial(slow.decode, z, timed), calls=2, scale=timed),
        }
        taken = in_turns(sides, "cpu")
        rates[batch] = {side: batch / median(seconds) for side, seconds in taken.items()}
        print(f"{run.file.name}, batch {batch}: {rates[batch]}", flush=True)
    teacher = run.file.teacher
    assert teacher is not None
    ours, theirs = (sum(p.numel() for p in flow.parameters()) for flow in flows)
    return Pair(
        student=run.file.name,
        teacher=teacher.name,
        dimensions=dimensions,
        parameters=(ours, theirs),
        fidelity=Fidelity.model_validate_json((run.folder / "fidelity.json").read_bytes()),
        error=float(np.abs(by_fast - by_slow).max() / np.ptp(by_fast)),
        rates=rates,
    )


def bars(pairs: list[Pair]) -> list[Bar]:
    """What must be reached at D = 784."""
    reached = [
        Bar(f"{pair.teacher}: D passes against the fast inverse, of the range", pair.error, 1e-4)
        for pair in pairs
    ]
    for pair in pairs:
        if pair.dimensions != LARGE:
            continue
        times = pair.rates[64][STUDENT] / pair.rates[64][PASSES]
        reached.append(Bar(f"{pair.student}, batch 64: × D passes", times, 1000, floor=True))
        for batch in (1, 4, 16):
            times = pair.rates[batch][STUDENT] / pair.rates[batch][FAST]
            what = f"{pair.student}, batch {batch}: × fast inverse"
            reached.append(Bar(what, times, 5, floor=True))
    return reached


def page(pairs: list[Pair], reached: list[Bar]) -> str:
    """The page of all pairs."""
    lines = [
        "# Students' samples beside their teachers'",
        "",
        f"Made by `make bench-distill` on {cpu_name()}, {THREADS} threads: samples per second.",
        "",
    ]
    for pair in pairs:
        kl = pair.fidelity.kl_student_teacher
        lines += [
            f"## {pair.student}, {pair.dimensions} dimensions",
            "",
            f"{pair.parameters[0]:,} parameters; its teacher {pair.teacher} has "
            f"{pair.parameters[1]:,}. KL(student‖teacher) {kl.mean:.4f} ± {kl.se:.4f} nats per "
            f"dimension, two-sample {pair.fidelity.two_sample:.3f}.",
            "",
        ]
        columns = ("batch", STUDENT, FAST, PASSES, "× fast", "× D passes")
        lines += table(columns, [_cells(batch, rates) for batch, rates in pair.rates.items()])
    lines += [f"- {bar}{'' if bar.held else ' — missed'}" for bar in reached]
    return "\n".join(lines) + "\n"


def _cells(batch: int, rates: dict[str, float]) -> tuple[str, ...]:
    ratios = (rates[STUDENT] / rates[side] for side in (FAST, PASSES))
    return (
        str(batch),
        *(f"{rates[side]:,.4g}" for side in (STUDENT, FAST, PASSES)),
        *(f"{ratio:,.3g}" for ratio in ratios),
    )


def main(folders: list[Path]) -> int:
    """Measure all pairs, and write the page."""
    torch.set_num_threads(THREADS)
    try:
        runs = [Run.open(folder) for folder in folders]
        pairs = [measure(run) for run in runs]
    except RunError as error:
        print(f"{error}\nTrain students first: see README, Students", file=sys.stderr)
        return 2
    reached = bars(pairs)
    plain = [asdict(pair) | {"fidelity": pair.fidelity.model_dump()} for pair in pairs]
    return publish(RESULTS, "students", {"pairs": plain}, page(pairs, reached), reached)


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
