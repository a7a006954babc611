"""Spoken digits by a student, beside its teacher's and real ones: how fast, and how alike.

    python -m tests.benchmarks.speech RUN [DATA]

RUN is a student's of labelled sounds, such as fsdd-student; DATA is where they lie, if not where
they were in training. Student and teacher draw in onnxruntime with two threads: the student in one
pass, the teacher step by step with what it has computed kept, and by as many passes as there are
samples. Their sounds are compared with held-out ones.

Writes results/speech.json and the page results/speech.md, and exits with 1 where a bar is missed.
Needs a machine that does nothing else: two cores, some minutes.
"""

import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from models.flow import Flow
from tests.benchmarks.common.bar import RESULTS, Bar, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.turns import Side, in_turns
from tests.benchmarks.inverse.graph import THREADS, open_graph
from tests.benchmarks.speech import hearing, mel
from tests.benchmarks.speech.mel import Array
from tests.benchmarks.speech.sounds import drawn, sound_of
from tests.benchmarks.students.passes import ByPasses
from training.data.dataset import Dataset
from training.export.graphs import draft
from training.runs.lifecycle import dataset_of
from training.runs.run import Run

BATCHES = (1, 4, 16)

# of the passes, one for each sample, so many are timed
TIMED_PASSES = 4

# sounds of each side that are compared
SOUNDS = 500

STUDENT, CACHED, PASSES = "student", "teacher, cached", "teacher, D passes"


@dataclass(frozen=True)
class Likeness:
    """How like held-out speech sounds are.

    Args:
        distance: between time-averaged log-mel spectra, in dB (`mel.distance`).
        heard: how often a classifier of real digits hears the one that is said.
        loudness: root mean square, in sample steps.
        overflowing: sounds that are no numbers, and are left out.
    """

    distance: float
    heard: float
    loudness: float
    overflowing: int = 0


def speeds(student: Flow, teacher: Flow, rate: int) -> dict[int, dict[str, float]]:
    """By batch and side, how many seconds of sound are made in one."""
    graphs = {
        name: open_graph(draft(flow, "z", "x").finish(None), "cpu")
        for name, flow in ((STUDENT, student), (CACHED, teacher))
    }
    slow = ByPasses(teacher)
    (length,) = student.bijection.event_shape
    found = {}
    for batch in BATCHES:
        z = student.base.sample(batch, torch.Generator().manual_seed(batch)).numpy()
        context = np.zeros((batch, 1), np.float32)
        feeds = {"z": z, "context": context}
        every = length // TIMED_PASSES
        sides = {name: Side(partial(graph.run, None, feeds)) for name, graph in graphs.items()}
        sides[PASSES] = Side(partial(slow.decode, z, every, context), calls=2, scale=every)
        taken = in_turns(sides, "cpu")
        seconds = batch * length / rate
        found[batch] = {name: seconds / median(times) for name, times in taken.items()}
        print(f"batch {batch}: {found[batch]}", flush=True)
    return found


def likeness(student: Flow, teacher: Flow, dataset: Dataset) -> dict[str, Likeness]:
    """Of both flows' sounds and of other real ones, each to held-out ones."""
    sound = sound_of(dataset)
    assert dataset.train.context is not None
    assert dataset.test.context is not None
    train, test = (dataset.noisy(rows, 1, 0)[0] for rows in (dataset.train.rows, dataset.test.rows))
    listener = hearing.Listener(train, dataset.train.context[:, 0], sound.rate)
    contexts = torch.from_numpy(dataset.test.context[:SOUNDS])
    digits = dataset.test.context[:SOUNDS, 0]
    held_out = dataset.test.rows[:SOUNDS].astype(float)

    def compared(sounds: Array, heard_in: Array) -> Likeness:
        finite = np.asarray(np.isfinite(sounds).all(1))
        within = np.clip(sounds[finite], -sound.full_scale, sound.full_scale - 1)
        return Likeness(
            distance=mel.distance(within, held_out, sound.rate),
            heard=listener.hears(np.where(finite[:, None], heard_in, 0), digits),
            loudness=float(np.sqrt(np.square(within).mean())),
            overflowing=int((~finite).sum()),
        )

    found = {
        "real": compared(dataset.train.rows[:SOUNDS].astype(float), test[:SOUNDS].astype(float))
    }
    for name, flow in (("teacher", teacher), ("student", student)):
        sounds = drawn(flow, contexts)
        found[name] = compared(sounds, sounds)
        print(f"{name}: {found[name]}", flush=True)
    return found


def bars(rates: dict[int, dict[str, float]], sounds: dict[str, Likeness]) -> list[Bar]:
    """What must be reached."""
    reached = [
        Bar(f"student, batch {batch}: × real time", rates[batch][STUDENT], 20, floor=True)
        for batch in BATCHES
    ]
    ratio = sounds["student"].distance / sounds["teacher"].distance
    return [*reached, Bar("spectral distance to real speech, × the teacher's", ratio, 1.5)]


def page(
    run: Run, rates: dict[int, dict[str, float]], sounds: dict[str, Likeness], reached: list[Bar]
) -> str:
    """The page."""
    names = (STUDENT, CACHED, PASSES)
    lines = [
        "# Spoken digits",
        "",
        f"Made by `python -m tests.benchmarks.speech RUN` of {run.file.name} on {cpu_name()}, "
        f"{THREADS} threads. Seconds of sound made in one second:",
        "",
        *table(
            ("batch", *names),
            [
                (str(batch), *(f"{by_side[name]:,.3g}" for name in names))
                for batch, by_side in rates.items()
            ],
        ),
        f"{SOUNDS} sounds of each side beside as many held-out ones. Distance: mean absolute",
        f"difference of time-averaged log-mel spectra of {mel.BANDS} bands. Heard: how often a",
        "classifier, trained on real digits, hears the one asked for; of the real ones, held-out.",
        "",
        *table(
            ("", "distance, dB", "heard", "loudness, steps", "overflowing"),
            [
                (
                    name,
                    f"{one.distance:.2f}",
                    f"{one.heard:.3f}",
                    f"{one.loudness:,.0f}",
                    str(one.overflowing),
                )
                for name, one in sounds.items()
            ],
        ),
    ]
    lines += [f"- {bar}{'' if bar.held else ' — missed'}" for bar in reached]
    return "\n".join(lines) + "\n"


def main(folder: Path, place: Path | None) -> int:
    """Measure, and write the page."""
    torch.set_num_threads(THREADS)
    run = Run.open(folder)
    dataset = dataset_of(run, place)
    student, teacher = (one.best_flow().requires_grad_(False) for one in (run, run.teacher()))
    sounds = likeness(student, teacher, dataset)
    rates = speeds(student, teacher, sound_of(dataset).rate)
    reached = bars(rates, sounds)
    content = {
        "run": run.file.name,
        "times_real_time": rates,
        "likeness": {name: asdict(one) for name, one in sounds.items()},
    }
    return publish(RESULTS, "speech", content, page(run, rates, sounds, reached), reached)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
