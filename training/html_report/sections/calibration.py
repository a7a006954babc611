"""With what rows scores are compared."""

from collections.abc import Sequence

from service.bundle import (
    BundleError,
    DetectorManifest,
    alarm_levels,
    read_calibration,
    said_of_hours,
)
from training.errors import ReportError
from training.html_report.blocks import AbsentError, Block, Facts, Note, Table
from training.html_report.reported import OfBundle, Reported
from training.html_report.section import Section
from training.html_report.words import number

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)

METHODS = {
    "folds": "each row by the members of the folds that it is not in",
    "out_of_bag": "each row by the members that did not draw it",
    "rows": "rows that no part of the training saw",
}


def write_calibration(reported: Reported) -> list[Block]:
    """Quantiles of the scores of held-out rows, from which p-values come."""
    manifest = reported.manifest
    if isinstance(manifest, DetectorManifest):
        return _of_detector(reported.exported, manifest)
    calibration = manifest.calibration
    rows = _quantiles(calibration.levels, [calibration.log_prob])
    said = f"Quantiles of log_prob of {calibration.rows} held-out rows, without noise"
    return [Table(said, ["Share of rows below", "log_prob, nats"], rows, [0, 1])]


def _of_detector(exported: OfBundle, manifest: DetectorManifest) -> list[Block]:
    calibration = manifest.calibration
    if calibration is None:
        raise AbsentError("the detector is not calibrated: `bijecta calibrate`")
    try:
        scores = read_calibration(exported.folder, manifest)
        hours = said_of_hours(exported.folder, manifest)
    except BundleError as error:
        raise ReportError(str(error)) from None
    assert scores is not None
    column = manifest.class_column
    label = None if column is None or manifest.context is None else manifest.context[column]
    levels = alarm_levels(scores, label)
    pairs: list[tuple[str, str | None]] = [
        ("Rows", number(calibration.rows)),
        ("Scored", METHODS[calibration.method]),
        ("Compared within the classes of", calibration.by),
    ]
    blocks: list[Block] = [
        Facts("Of the calibration", pairs),
        *(Note(f"{level.said}.") for level in levels),
        *(Note(f"{level.warning}.") for level in levels if level.warning),
    ]
    if hours is not None:
        blocks.append(Note(f"{hours}."))
    head, values = ["Share of rows below", "Score"], [calibration.score]
    if calibration.log_prob is not None:
        head.append("log_prob, nats")
        values.append(calibration.log_prob)
    rows = _quantiles(calibration.levels, values, ["∞", "−∞"])
    numbers = range(len(head))
    blocks.append(Table("Quantiles of the calibration rows", head, rows, numbers))
    return blocks


def _quantiles(
    levels: Sequence[float],
    columns: Sequence[Sequence[float | None]],
    infinite: Sequence[str] = ("−∞",),
) -> list[list[str]]:
    """Rows of a table, of the levels that are shown."""
    rows = []
    for i, level in enumerate(levels):
        if any(abs(level - shown) < 1e-9 for shown in LEVELS):
            values = [column[i] for column in columns]
            cells = [
                nothing if value is None else number(value)
                for value, nothing in zip(values, infinite, strict=True)
            ]
            rows.append([f"{100 * level:g} %", *cells])
    return rows


CALIBRATION = Section("Calibration", write_calibration)
