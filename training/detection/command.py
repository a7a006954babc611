"""`bijecta fit-detector`: from a table to a calibrated detector of anomalies in a store."""

import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from service.bundle import DetectorManifest, LabelledFigures
from training.config import ContextSpec, TableColumns
from training.data import Context, WholeTable, whole_table
from training.detection.figures import labelled_figures
from training.detectors import (
    CONFIGURATIONS,
    Configuration,
    ContextRows,
    DetectorRecipe,
    DetectorRun,
    DetectorRunFile,
    FittedDetector,
)
from training.detectors import fit_detector as fit_to_rows
from training.errors import RunError
from training.export import (
    HeldOutScores,
    check_name,
    check_store,
    check_without_values,
    export_detector,
    exported_already,
)
from training.inspection import LabelledTable
from training.preprocessing import context_fields
from training.reporting import print_columns, say, warn
from training.runs import training_lock


def fit_detector(arguments: Namespace) -> None:
    """Fit a detector of anomalies to a table, calibrate and export it.

    Raises:
        DataError: the table cannot be read, or none of its columns can be modelled.
        TrainingError: export fails, or the run folder is another command's.
    """
    check_name(arguments.name)
    configuration: Configuration = "contaminated" if arguments.contaminated else "clean"
    if arguments.no_values:
        check_without_values(CONFIGURATIONS[configuration])
    folder: Path = arguments.out or Path("runs") / arguments.name
    labelled: LabelledTable = arguments.looked_at
    print_columns(labelled.found)
    path = labelled.found.path
    decision = labelled.found.decision
    columns = TableColumns(modelled=list(decision.columns), left_out=list(decision.left_out))
    whole = whole_table(labelled.table, path, labelled.source, columns, labelled.trains)
    if labelled.anomalous is not None:
        _say_labels(labelled, arguments)
    data = None if arguments.next_version else whole.sha256
    check_store(arguments.store, arguments.name, data)
    file = DetectorRecipe(
        source=labelled.source.model_dump(mode="json", exclude_defaults=True, exclude={"source"}),
        labels=arguments.labels,
        configuration=configuration,
        seed=arguments.seed,
    )
    with training_lock(folder):
        run, fitted = _open_or_fit(
            folder, arguments.name, file, path.name, columns, whole, labelled
        )
        rows = labelled.trains
        figures = _labelled_figures(labelled, whole, fitted)
        held_out = HeldOutScores(
            whole.rows[rows],
            _context_rows(whole.context, rows),
            fitted.out_of_sample,
            fitted.log_prob,
            figures,
        )
        store, name = arguments.store, arguments.name
        there = None if arguments.next_version else exported_already(run, store, name)
        if there is None:
            values = not arguments.no_values
            print_detector(*export_detector(run, fitted.detector, held_out, store, name, values))
        else:
            say(f"{there} holds this detector already: --next-version exports it once more")
    say(f"bijecta serve --store {arguments.store}: answers POST /score with it")


def _say_labels(labelled: LabelledTable, arguments: Namespace) -> None:
    assert labelled.anomalous is not None
    count = int(labelled.anomalous.sum())
    what = "train too" if arguments.contaminated else "are left out of training"
    say(
        f"{count} of {labelled.table.rows} rows are anomalies by column {arguments.labels!r}, and "
        f"{what}"
    )


def _open_or_fit(
    folder: Path,
    name: str,
    recipe: DetectorRecipe,
    data_name: str,
    columns: TableColumns,
    whole: WholeTable,
    labelled: LabelledTable,
) -> tuple[DetectorRun, FittedDetector]:
    """The detector of the run in a folder, or a new one.

    Raises:
        RunError: the folder holds a run of another recipe or other data.
    """
    if (folder / "run.json").exists():
        run = DetectorRun.open(folder)
        if (run.file.recipe, run.file.data_sha256) != (recipe, whole.sha256):
            raise RunError(
                f"{folder} holds a detector of another table or of other options: choose another "
                "--name or --out, or remove the folder"
            )
        say(f"{folder} holds this detector already")
        return run, run.fitted()
    rows, began = labelled.trains, time.monotonic()
    of_rows = whole.context.columns
    known = _context_rows(whole.context, rows)
    fitted = fit_to_rows(
        whole.rows[rows],
        columns.modelled,
        known,
        recipe.configuration,
        recipe.seed,
        lambda part: say(f"fitting {part} ({time.monotonic() - began:.0f} s)"),
    )
    say(f"fitted to {len(rows)} rows in {time.monotonic() - began:.0f} s; run in {folder}")
    file = DetectorRunFile(
        name=name,
        recipe=recipe,
        data_name=data_name,
        data_sha256=whole.sha256,
        columns=columns,
        context=of_rows,
        spec=fitted.detector.spec,
    )
    return DetectorRun.create(folder, file, fitted), fitted


def _context_rows(context: Context, rows: np.ndarray) -> ContextRows | None:
    """The context of some rows; None where there is none."""
    values = context.of(rows)
    if values is None:
        return None
    fields = context_fields(context.columns)
    return ContextRows(values, ContextSpec.model_validate({"columns": fields}))


def _labelled_figures(
    labelled: LabelledTable, whole: WholeTable, fitted: FittedDetector
) -> LabelledFigures | None:
    """What labels say of the scores: of training rows out of sample, of others as they are."""
    if labelled.anomalous is None or not labelled.anomalous.any():
        return None
    scores = np.full(len(whole.rows), np.nan)
    scores[labelled.trains] = fitted.out_of_sample
    scores[np.isnan(scores) & whole.impossible] = np.inf
    scores[whole.unreadable] = np.nan
    others = np.flatnonzero(np.isnan(scores) & ~whole.unreadable)
    if len(others):
        scores[others] = fitted.detector.scores(whole.rows[others], whole.context.of(others))
    if left := int(np.isnan(scores).sum()):
        warn(f"{left} anomalies have values that are none of their columns', and are not evaluated")
    scored = ~np.isnan(scores)
    anomalous = scores[scored & labelled.anomalous]
    return (
        labelled_figures(scores[scored & ~labelled.anomalous], anomalous)
        if len(anomalous)
        else None
    )


def print_detector(folder: Path, manifest: DetectorManifest) -> None:
    """Print what a new bundle of a detector is made of, and how it does."""
    for part in manifest.parts:
        say(f"part {part.name!r}, weight {part.weight:g}: {part.detail}")
    calibration = manifest.calibration
    assert calibration is not None
    within = "" if calibration.by is None else f", within the classes of {calibration.by!r}"
    say(
        f"calibrated with {calibration.rows} rows by members that did not see them{within}: "
        f"p-values from {1 / (calibration.rows + 1):.2g}"
    )
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
