"""What each objective of distillation reaches: digits and 2-D densities, in equal steps.

    python -m tests.benchmarks.students.distillation FOLDER [RUN …]

Trains teachers and students into FOLDER, going on with what is there, takes in the students of
other runs, writes `results/distillation.json` and the page `results/distillation.md`, and exits
with 1 where the best student of a teacher misses its bar. What was taken in earlier and is not
named now stays on the page.
"""

import json
import math
import sys
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from service.bundle import HeldOut
from service.bundle.manifests.fidelity import Fidelity
from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.machine import hardware
from tests.benchmarks.common.markdown import table
from training.commands import fit_run
from training.config import recipe
from training.config.recipe import Recipe
from training.data import load as data
from training.distill import measure_fidelity as fidelity
from training.evaluate import evaluate
from training.runs.lifecycle import open_or_create
from training.runs.run import Run

# Of KL(student‖teacher), in nats per dimension, by what the teacher's name begins with. One layer
# is taught to compare objectives: a student of one cannot undo it.
BARS = {"bsds300": 0.03, "mnist": math.inf, "digits-one-layer": math.inf, "": 0.01}

CPU = torch.device("cpu")

Chosen = dict[str, Any]
"""Keys of a recipe's [distill]."""


def of(*losses: str | Chosen, **others: object) -> Chosen:
    """What a student is trained for, by losses alone or with their other keys."""
    whole = [loss if isinstance(loss, dict) else {"kind": loss} for loss in losses]
    return {"losses": whole, **others}


OBJECTIVES: dict[str, Chosen] = {
    "teacher_path": of("teacher_path"),
    "student_path": of("student_path"),
    "teacher_path + student_path": of("teacher_path", {"kind": "student_path", "start": 0.2}),
    "teacher_path, then kl": of({"kind": "teacher_path", "end": 0.7}, {"kind": "kl", "start": 0.7}),
    "kl": of("kl"),
    "pairs": of("pairs"),
    "latents": of("latents"),
    "pairs + latents": of("pairs", "latents"),
}

# for teachers of one layer
ONE_LAYER: dict[str, Chosen] = {
    "teacher_path": of("teacher_path"),
    "conditional-kl": of("conditional-kl"),
    "conditional-kl + log-deviations": of("conditional-kl", "log-deviations"),
    "kl": of("kl"),
}

# Steep conditionals of few dimensions: students are wider than their teachers, and take longer.
# Some teachers find one draw in 5,000 a million nats away, which is all of a divergence then.
PLANES: dict[str, Chosen] = {
    "student_path": of("student_path"),
    "student_path, hotter": of("student_path", temperature=1.3),
}
PLANE_HIDDEN = [128, 128]
PLANE_EPOCHS = 150
PLANE = ("eight_gaussians", "checkerboard", "rings", "two_spirals", "pinwheel")


@dataclass(frozen=True)
class Row:
    """One student; divergences and the gap of the held-out score in nats per dimension."""

    teacher: str
    student: str
    objective: str
    parameters: tuple[int, int]
    seconds: float
    kl: tuple[float, float]
    kl_back: tuple[float, float]
    held_out_gap: float
    two_sample: float
    two_sample_of_teacher: float
    hardware: str
    day: str


def teachers() -> dict[str, Recipe]:
    """The recipes of the teachers that are trained here."""
    moons = recipe.load_recipe("moons-maf")
    shallow = recipe.load_recipe("digits-maf")
    shallow.flow = shallow.flow.model_validate(shallow.flow.model_dump() | {"transforms": 1})
    others = {name: moons.model_copy(deep=True) for name in PLANE}
    for name, one in others.items():
        one.data.source = name
    return {
        "digits-maf": recipe.load_recipe("digits-maf"),
        "digits-one-layer": shallow,
        "moons-maf": moons,
    } | others


def objectives(teacher: str) -> dict[str, Chosen]:
    """By what a teacher's students are taught."""
    if teacher == "digits-one-layer":
        return ONE_LAYER
    return OBJECTIVES if teacher == "digits-maf" else PLANES


def student(teacher: Recipe, objective: Chosen) -> Recipe:
    """The recipe of `digits-student`, with the layers of a teacher."""
    chosen = recipe.load_student("digits-student", teacher)
    theirs = teacher.flow.options
    sizes = {key: theirs[key] for key in ("transforms", "hidden")}
    chosen.flow = chosen.flow.model_validate(chosen.flow.model_dump() | sizes)
    content = chosen.model_dump()
    content["distill"] |= objective
    if teacher.data.source != "digits":
        content["flow"]["hidden"] = PLANE_HIDDEN
        content["fit"] |= {"epochs": PLANE_EPOCHS, "patience": PLANE_EPOCHS}
    return Recipe.model_validate(content)


def trained(folder: Path, name: str, chosen: Recipe, teacher: Run | None = None) -> Run:
    """A run in a folder, from wherever it stands to its end."""
    dataset = data.load_dataset(chosen.data)
    run = open_or_create(folder / name, name, chosen, dataset, teacher)
    if not run.load_state().finished:
        fit_run(run, dataset, CPU)
    if not (run.folder / "evaluation.json").exists():
        evaluate(run, dataset)
    if teacher is not None and not (run.folder / "fidelity.json").exists():
        fidelity(run, dataset)
    return run


def row(run: Run, objective: str) -> Row:
    """What a student's run says of itself."""
    found = Fidelity.model_validate_json((run.folder / "fidelity.json").read_bytes())
    held_out = HeldOut.model_validate_json((run.folder / "evaluation.json").read_bytes())
    flows = [one.best_flow() for one in (run, run.teacher())]
    ours, theirs = (sum(p.numel() for p in flow.parameters()) for flow in flows)
    progress, teacher = run.load_state(), run.file.teacher
    assert teacher is not None
    n = math.prod(flows[0].bijection.event_shape)
    return Row(
        teacher=teacher.name,
        student=run.file.name,
        objective=objective,
        parameters=(ours, theirs),
        seconds=round(progress.seconds),
        kl=(found.kl_student_teacher.mean, found.kl_student_teacher.se),
        kl_back=(found.kl_teacher_student.mean, found.kl_teacher_student.se),
        held_out_gap=(found.teacher_held_out.mean - held_out.log_prob) / n,
        two_sample=found.two_sample,
        two_sample_of_teacher=found.two_sample_of_teacher,
        hardware=hardware(progress.device),
        day=date.today().isoformat(),
    )


def earlier() -> list[Row]:
    """The rows that are on the page."""
    return TypeAdapter(list[Row]).validate_json((RESULTS / "distillation.json").read_bytes())


def losses(run: Run) -> str:
    """The losses of a run's own recipe, in words."""
    chosen = run.file.recipe.distill
    assert chosen is not None
    assert chosen.losses is not None
    return " + ".join(loss.kind for loss in chosen.losses)


def page(rows: list[Row]) -> str:
    """The page of all students."""
    lines = [
        "# Students beside their teachers",
        "",
        "Made by `python -m tests.benchmarks.students.distillation`. KL in nats per dimension,",
        "over 5,000 draws; gap: the teacher's held-out score less the student's; two-sample: how",
        "often a classifier tells draws apart, beside that for two samples of the teacher. Where a",
        "mean is no larger than its error, one draw is all of it. Hotter: temperature 1.3.",
        "",
    ]
    for teacher in dict.fromkeys(row.teacher for row in rows):
        lines += [f"## {teacher}", ""]
        columns = ("objective", "KL(S‖T)", "KL(T‖S)", "gap", "two-sample", "parameters", "s")
        lines += table(columns, [_cells(row) for row in rows if row.teacher == teacher])
    return "\n".join(lines).rstrip() + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.objective,
        f"{row.kl[0]:.4f} ± {row.kl[1]:.4f}",
        f"{row.kl_back[0]:.4f} ± {row.kl_back[1]:.4f}",
        f"{row.held_out_gap:+.4f}",
        f"{row.two_sample:.3f} / {row.two_sample_of_teacher:.3f}",
        " / ".join(f"{n:,}" for n in row.parameters),
        f"{row.seconds:.0f}",
    )


def misses(rows: list[Row]) -> list[str]:
    """The teachers whose best student is too far from them."""
    found = []
    for teacher in dict.fromkeys(row.teacher for row in rows):
        bar = next(bar for name, bar in BARS.items() if teacher.startswith(name))
        best = min((row for row in rows if row.teacher == teacher), key=lambda row: row.kl[0])
        if bar == math.inf:
            continue
        told_apart = teacher.startswith("digits") and best.two_sample > 0.6
        if not (best.kl[0] <= bar and best.held_out_gap <= 0.05) or told_apart:
            found.append(teacher)
    return found


def main(folder: Path, others: list[Path]) -> int:
    """Train what is not there, and write the page."""
    taken = [row(run, losses(run)) for run in map(Run.open, others)]
    known = {*teachers(), *(one.teacher for one in taken)}
    rows = [one for one in earlier() if one.teacher not in known] + taken
    for name, theirs in teachers().items():
        teacher = trained(folder, name, theirs)
        for objective, chosen in objectives(name).items():
            run = trained(folder, f"{name}, {objective}", student(theirs, chosen), teacher)
            rows.append(row(run, objective))
    content = json.dumps([asdict(one) for one in rows], indent=1, ensure_ascii=False)
    (RESULTS / "distillation.json").write_text(content + "\n")
    (RESULTS / "distillation.md").write_text(page(rows))
    print(page(rows))
    missed = misses(rows)
    print("missed:", ", ".join(missed) or "none")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]]))
