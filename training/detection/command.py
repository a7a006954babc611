"""`bijecta fit-detector`: from data to a calibrated detector of anomalies in a store."""

import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import (
    DetectorManifest,
    LabelledFigures,
    alarm_levels,
    read_calibration,
    said_of_hours,
)
from training.detection.figures import labelled_figures
from training.detection.task import Task, array_task, table_task
from training.detectors import (
    ARRAY_PARTS,
    CONFIGURATIONS,
    AnyPart,
    ArrayDetectorSpec,
    ArrayPart,
    Configuration,
    DetectorRecipe,
    DetectorRun,
    DetectorRunFile,
    DetectorSpec,
    FittedDetector,
)
from training.errors import RunError
from training.export import (
    Asked,
    HeldOutScores,
    check_name,
    check_store,
    check_without_values,
    export_detector,
    exported_already,
)
from training.inspection import LabelledArrays, LabelledTable
from training.reporting import print_columns, say, warn
from training.runs import training_lock

WEIGHTED_SUM = "the weighted sum of the parts"
WEIGHTED_TAILS = (
    "the log of the weighted mean of 1 / p over the parts, p the share of normal rows of which the "
    "part is as large"
)
"""How parts become a score: what `DetectorSpec.combination` says, for people."""


def fit_detector(arguments: Namespace) -> None:
    """Fit a detector of anomalies to a table or to arrays, calibrate and export it.

    Raises:
        DataError: the data cannot be read, or none of its columns can be modelled.
        TrainingError: export fails, or the run folder is another command's.
    """
    check_name(arguments.name)
    configuration: Configuration = "contaminated" if arguments.contaminated else "clean"
    looked_at: LabelledTable | LabelledArrays = arguments.looked_at
    if isinstance(looked_at, LabelledArrays):
        parts: Sequence[AnyPart | ArrayPart] = ARRAY_PARTS[configuration]
        task: Task[Any] = array_task(looked_at)
        say(f"{task.data_name}: {_counted(looked_at)}")
    else:
        parts = CONFIGURATIONS[configuration]
        print_columns(looked_at.found)
        task = table_task(looked_at)
    if arguments.no_values:
        check_without_values(parts)
    if task.anomalous is not None:
        _say_labels(task.anomalous, arguments)
    data = None if arguments.next_version else task.data_sha256
    check_store(arguments.store, arguments.name, data)
    folder: Path = arguments.out or Path("runs") / arguments.name
    recipe = DetectorRecipe(
        source=task.source.model_dump(mode="json", exclude_defaults=True, exclude={"source"}),
        labels=arguments.labels,
        configuration=configuration,
        seed=arguments.seed,
    )
    with training_lock(folder):
        run, fitted = _open_or_fit(folder, arguments.name, recipe, task)
        held_out = HeldOutScores(
            task.rows,
            task.context,
            fitted.out_of_sample,
            fitted.log_prob,
            _labelled_figures(task, fitted),
        )
        store, name = arguments.store, arguments.name
        asked = Asked(values=not arguments.no_values)
        there = None if arguments.next_version else exported_already(run, store, name, asked)
        if there is None:
            exported = export_detector(run, fitted.detector, held_out, store, name, asked.values)
            print_detector(*exported, run.file.spec)
        else:
            say(f"{there} holds this detector already: --next-version exports it once more")
    say(f"bijecta serve --store {arguments.store}: answers POST /score with it")
    say(f"bijecta score {arguments.store / arguments.name} TABLE --out SCORES: scores rows")


def _counted(labelled: LabelledArrays) -> str:
    """How many arrays of which shape there are."""
    n, *shape = labelled.arrays.rows.shape
    return f"{n} arrays of shape {shape}"


def _say_labels(anomalous: NDArray[np.bool_], arguments: Namespace) -> None:
    what = "train too" if arguments.contaminated else "are left out of training"
    say(
        f"{int(anomalous.sum())} of {len(anomalous)} rows are anomalies by column "
        f"{arguments.labels!r}, and {what}"
    )


def _open_or_fit(
    folder: Path, name: str, recipe: DetectorRecipe, task: Task[Any]
) -> tuple[DetectorRun, FittedDetector[Any]]:
    """The detector of the run in a folder, or a new one.

    Raises:
        RunError: the folder holds a run of another recipe or other data.
    """
    if (folder / "run.json").exists():
        run = DetectorRun.open(folder)
        if (run.file.recipe, run.file.data_sha256) != (recipe, task.data_sha256):
            raise RunError(
                f"{folder} holds a detector of other data or of other options: choose another "
                "--name or --out, or remove the folder"
            )
        say(f"{folder} holds this detector already")
        return run, run.fitted()
    began = time.monotonic()
    fitted = task.fit(
        recipe.configuration,
        recipe.seed,
        lambda part: say(f"fitting {part} ({time.monotonic() - began:.0f} s)"),
    )
    seconds = time.monotonic() - began
    say(f"fitted to {len(task.rows)} rows in {seconds:.0f} s; run in {folder}")
    file = DetectorRunFile(
        name=name,
        recipe=recipe,
        data_name=task.data_name,
        data_sha256=task.data_sha256,
        columns=task.columns,
        context=list(task.context_columns),
        spec=fitted.detector.spec,
    )
    return DetectorRun.create(folder, file, fitted), fitted


def _labelled_figures(task: Task[Any], fitted: FittedDetector[Any]) -> LabelledFigures | None:
    """What labels say of the scores: of training rows out of sample, of others as they are."""
    if task.anomalous is None or not task.anomalous.any():
        return None
    scores = np.full(len(task.anomalous), np.nan)
    scores[task.trains] = fitted.out_of_sample
    scores[np.isnan(scores) & task.impossible] = np.inf
    scores[task.unreadable] = np.nan
    others = np.flatnonzero(np.isnan(scores) & ~task.unreadable)
    if len(others):
        scores[others] = task.scores(fitted.detector, others)
    if left := int(np.isnan(scores).sum()):
        warn(f"{left} anomalies have values that are none of their columns', and are not evaluated")
    scored = ~np.isnan(scores)
    anomalous = scores[scored & task.anomalous]
    return labelled_figures(scores[scored & ~task.anomalous], anomalous) if len(anomalous) else None


def print_detector(
    folder: Path, manifest: DetectorManifest, spec: DetectorSpec | ArrayDetectorSpec
) -> None:
    """Print what a new bundle of a detector is made of, and how it does."""
    for part in manifest.parts:
        say(f"part {part.name!r}, weight {part.weight:g}: {part.detail}")
    is_sum = isinstance(spec, ArrayDetectorSpec) or spec.combination == "sum"
    say(f"score: {WEIGHTED_SUM if is_sum else WEIGHTED_TAILS}")
    _say_calibration(folder, manifest)
    labelled = manifest.held_out.labelled
    if labelled is not None:
        recalls = ", ".join(
            f"{100 * recall.mean:.1f} ± {100 * recall.se:.1f} % at {100 * float(share):g} %"
            for share, recall in labelled.recall.items()
        )
        say(
            f"by {labelled.rows} labels, {labelled.anomalies} of them anomalies: AUROC "
            f"{labelled.auroc.mean:.4f} ± {labelled.auroc.se:.4f}, AUPRC "
            f"{labelled.auprc.mean:.4f} ± {labelled.auprc.se:.4f}; recall {recalls} false alarms"
        )
    differences = manifest.tolerances
    say(
        f"{folder}: score within {differences.score:.1e} of its deviation and log_prob within "
        f"{differences.log_prob_per_dim:.1e} nats per dimension of float64"
    )


def _say_calibration(folder: Path, manifest: DetectorManifest) -> None:
    """Say with how many rows a new bundle is calibrated, and from which level on it can alarm."""
    calibration, column = read_calibration(folder, manifest), manifest.class_column
    assert calibration is not None
    label = None if column is None or manifest.context is None else manifest.context[column]
    levels = alarm_levels(calibration, label)
    said = f"calibrated with {calibration.rows} rows by members that did not see them"
    if label is None:
        say(f"{said}: p-values from {levels[0].least:.2g}")
    else:
        say(f"{said}, within the classes of {label.name!r}")
        for level in levels:
            say(level.said)
    for level in levels:
        if level.warning is not None:
            warn(f"{folder}: {level.warning}")
    if (hours := said_of_hours(folder, manifest)) is not None:
        say(hours)
