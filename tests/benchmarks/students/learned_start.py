"""Decoding by sweeps that start from a student's guesses, beside the fastest way without them.

    python -m tests.benchmarks.students.learned_start RUN…

takes runs of students whose teachers decode value by value. Of each teacher it times three graphs,
with two threads, in turns: the fastest that is exact, the fastest of all that an export tries, and
the fastest whose sweeps start from the student's guesses; and says how many sweeps rows take, and
how far answers lie from the exact graph's, as a part of the range.

Writes results/learned_start.json and the page results/learned_start.md, and exits with 1 where a
bar is missed. Nothing is trained here. Needs a machine that does nothing else.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from service.bundle import InverseReport
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.inverse.graph import THREADS, open_graph
from training.errors import TrainingError
from training.export.graphs import Draft, draft
from training.export.inverse_search import FASTEST, RESIDUAL, Fastest, InverseRequest, fastest
from training.export.reference import REFERENCE_ROWS
from training.export.sweeps import check_student, learned_start, measured_sweeps
from training.runs.run import Run

BATCHES = (1, 16, 64, 256)
EXACT, ANY, GUIDED = "exact", "without guesses", "from guesses"


@dataclass(frozen=True)
class Started:
    """A teacher that decodes from the guesses of its student.

    Args:
        student, teacher: names of the runs.
        path: how the student guesses.
        methods: of each graph, in words.
        sweeps: median and largest number of a row's sweeps without guesses, and from guesses; of
            sweeps over blocks as wide as the graph with guesses has them.
        error: largest difference of x from the exact graph's, as a part of its range.
        milliseconds: of each graph, by batch.
    """

    student: str
    teacher: str
    path: str
    methods: dict[str, str]
    sweeps: dict[str, tuple[float, float]]
    error: float
    milliseconds: dict[int, dict[str, float]]


def measure(student: Run) -> Started:
    """Time the graphs of a student's teacher."""
    teacher = student.teacher()
    check_student(teacher, student)
    flow = teacher.best_flow()
    z = flow.base.sample(REFERENCE_ROWS, torch.Generator().manual_seed(0)).numpy()
    feed = {"z": z}
    guess = learned_start(flow, teacher.flow_spec, student, feed)
    plain, guided = draft(flow, "z", "x"), draft(guess.flow, "z", "x")
    found = {
        EXACT: _exact(plain, feed),
        ANY: fastest(plain, feed, FASTEST),
        GUIDED: fastest(guided, feed, InverseRequest("jacobi", RESIDUAL)),
    }
    inverse = found[GUIDED].inverse
    assert inverse is not None
    sweeps = {
        side: measured_sweeps(swept, "decode", inverse, feed)
        for side, swept in ((ANY, flow), (GUIDED, guess.flow))
    }
    sessions = {side: open_graph(each.content, "cpu") for side, each in found.items()}
    answers = {side: session.run(["x"], feed)[0] for side, session in sessions.items()}
    times = {}
    for batch in BATCHES:
        rows = {"z": np.resize(z, (batch, *z.shape[1:]))}
        sides = {k: Side(partial(session.run, None, rows)) for k, session in sessions.items()}
        taken = in_turns(sides, "cpu")
        times[batch] = {side: 1e3 * median(seconds) for side, seconds in taken.items()}
        print(f"{student.file.name}, batch {batch}: {times[batch]}", flush=True)
    return Started(
        student=student.file.name,
        teacher=teacher.file.name,
        path=guess.flow.path,
        methods={side: _in_words(each.report) for side, each in found.items()},
        sweeps={side: (each.median, each.max) for side, each in sweeps.items()},
        error=float(np.abs(answers[GUIDED] - answers[EXACT]).max() / np.ptp(answers[EXACT])),
        milliseconds=times,
    )


def _exact(plain: Draft, feed: dict[str, np.ndarray]) -> Fastest:
    """The fastest exact graph: sweeps until nothing changes, or value by value where that loads."""
    swept = fastest(plain, feed, InverseRequest("jacobi"))
    if plain.coordinates:
        return swept
    return fastest(plain, feed, InverseRequest("sequential"))


def _in_words(report: InverseReport | None) -> str:
    assert report is not None
    up_to = f" up to {report.tolerance:.0e}" if report.tolerance else ""
    return f"{report.method}, {report.width} wide{up_to}"


def bars(measured: Sequence[Started]) -> list[Bar]:
    """What must be reached of each pair."""
    reached = []
    for one in measured:
        name, times = one.student, one.milliseconds[64]
        reached += [
            Bar(f"{name}: error of x, of the range", one.error, 1e-5),
            Bar(f"{name}: sweeps of the median row", one.sweeps[GUIDED][0], 3),
            Bar(f"{name}, batch 64: × exact", times[EXACT] / times[GUIDED], 3, floor=True),
        ]
    return reached


def page(measured: Sequence[Started], reached: Sequence[Bar]) -> str:
    """The page of all pairs."""
    lines = [
        "# Decoding from the guesses of a student",
        "",
        f"Made by `python -m tests.benchmarks.students.learned_start` on {cpu_name()}, {THREADS} "
        "threads: milliseconds of a batch.",
        "",
    ]
    for one in measured:
        (half, most), (half_without, most_without) = one.sweeps[GUIDED], one.sweeps[ANY]
        lines += [
            f"## {one.teacher}, from the guesses of {one.student}",
            "",
            f"It guesses by {one.path}. Rows take {half:.1f} sweeps (median), {most:.1f} at most, "
            f"up to a change of {RESIDUAL:.0e}; from zeros {half_without:.1f}, {most_without:.1f}. "
            f"The largest difference of x from the exact graph's is {one.error:.1e} of the range.",
            "",
            *(f"- {side}: {method}" for side, method in one.methods.items()),
            "",
        ]
        columns = ("batch", EXACT, ANY, GUIDED, "× exact", "× without guesses")
        lines += table(columns, [_cells(batch, ms) for batch, ms in one.milliseconds.items()])
    lines += [f"- {bar}{'' if bar.held else ' — missed'}" for bar in reached]
    return "\n".join(lines) + "\n"


def _cells(batch: int, milliseconds: dict[str, float]) -> tuple[str, ...]:
    ratios = (milliseconds[side] / milliseconds[GUIDED] for side in (EXACT, ANY))
    return (
        str(batch),
        *(f"{milliseconds[side]:,.3g}" for side in (EXACT, ANY, GUIDED)),
        *(f"{ratio:,.3g}" for ratio in ratios),
    )


def main() -> int:
    """Measure all pairs, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="of students")
    add_results_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    try:
        measured = [measure(Run.open(folder)) for folder in arguments.runs]
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 2
    reached = bars(measured)
    content = {"pairs": [asdict(one) for one in measured]}
    text = page(measured, reached)
    return publish(arguments.results, "learned_start", content, text, reached)


if __name__ == "__main__":
    sys.exit(main())
