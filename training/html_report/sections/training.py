"""How the model was trained."""

from typing import TYPE_CHECKING

from training.html_report.blocks import Block, Code, Facts, Table
from training.html_report.reported import OfRun, Reported
from training.html_report.section import Section
from training.html_report.words import duration, number

if TYPE_CHECKING:
    from training.detectors import DetectorRun
    from training.runs import Run
    from training.selection import Selection


def write_training(reported: Reported) -> list[Block]:
    """Seed, epochs, device and duration, what else was tried, and the recipe in full."""
    if reported.detector is not None:
        return [_of_detector(reported.detector)]
    learned = reported.learned
    blocks: list[Block] = [_of_run(learned)]
    if learned.selection is not None:
        blocks.append(_tried(learned.selection))
    blocks.append(Code("The recipe in full", toml_of(learned.run)))
    return blocks


def toml_of(run: "Run") -> str:
    """The recipe of a run as TOML; of a student without what it has from its teacher."""
    from training.config import TEACHERS_KEYS, text_of

    sections = run.file.recipe.model_dump(mode="json", exclude_none=True)
    if run.file.teacher is not None:
        del sections["data"]
        flow = sections["flow"]
        sections["flow"] = {key: flow[key] for key in flow if key not in TEACHERS_KEYS}
    return text_of(sections)


def _of_run(learned: OfRun) -> Facts:
    file, progress = learned.run.file, learned.progress
    fit, teacher = file.recipe.fit, file.teacher
    unit = learned.pass_name
    pairs: list[tuple[str, str | None]] = [
        ("Teacher", None if teacher is None else f"{teacher.name}, in {teacher.folder}"),
        ("Seed", str(fit.seed)),
        (f"{unit.capitalize()}s", f"{progress.epoch} of at most {fit.epochs}"),
        (f"Best {unit}", str(progress.best_epoch) if progress.best_epoch else None),
        (
            _what_chose(learned),
            f"{number(progress.best_score)} nats per row" if progress.best_epoch else None,
        ),
        ("Duration", duration(progress.seconds)),
        ("Device", progress.device or None),
        ("Precision", fit.precision),
        ("Ended", "yes" if progress.finished else "no: the same command goes on"),
        ("Versions", _versions(learned)),
    ]
    return Facts("Of the training", pairs)


def _versions(learned: OfRun) -> str:
    """By which programs, as far as the run keeps it."""
    names = [name for name in ("bijecta", "torch") if name in learned.evaluated]
    said = ", ".join(f"{name} {learned.evaluated[name]}" for name in names)
    return f"evaluated with {said}" if said else "the run does not keep them"


def _what_chose(learned: OfRun) -> str:
    """What the score is by which the weights were chosen."""
    distill = learned.run.file.recipe.distill
    if distill is None:
        return "Score of the validation rows then"
    return "−KL(student‖teacher) then" if distill.chosen_by == "kl" else "−losses then"


def _of_detector(run: "DetectorRun") -> Facts:
    recipe = run.file.recipe
    return Facts(
        "Of the fit",
        [
            ("Seed", str(recipe.seed)),
            ("Labels, which never train", recipe.labels),
            ("Device and duration", "the run of a detector does not keep them"),
            ("Versions", "those of the export stand there"),
        ],
    )


def _tried(selection: "Selection") -> Table:
    head = ["Candidate", "Validation, nats per row", "Epochs", "Best epoch", "Seconds"]
    rows = [
        [
            each.name + ", chosen" * (each.name == selection.chosen),
            number(each.validation),
            str(each.epochs),
            str(each.best_epoch),
            f"{each.seconds:.1f}",
        ]
        for each in selection.tried
    ]
    cut = f"; left out for time: {', '.join(selection.cut)}" if selection.cut else ""
    return Table(f"What was tried{cut}", head, rows, [1, 2, 3, 4])


TRAINING = Section("Training", write_training)
