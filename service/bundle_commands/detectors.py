"""What `bijecta calibrate` and `bijecta compare` do, and what they print."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from service.bundle import (
    CALIBRATION,
    COLUMN_VALUES,
    HOURS,
    USUAL_LEVELS,
    AlarmLevel,
    AnyManifest,
    BundleError,
    alarm_levels,
    calibration_bytes,
    calibration_of,
    publish,
    quantiles,
    read_detector,
    references_of,
    rows_for,
    said_of_hours,
    sha256,
)
from service.bundle import CALIBRATION_LEVELS as LEVELS
from service.bundle_commands.score import bundle_folder
from service.codecs import HAS_PYARROW, NO_PYARROW
from service.conformal import Calibration, auroc_difference, placements
from service.errors import os_error_text
from service.tables import TableError, anomalies_of, from_arrow
from service.types import Float64

if TYPE_CHECKING:
    from service.bulk import WholeFile

# Columns of rows to come are compared with those of calibration rows where there are so many.
MIN_COLUMN_ROWS = 100


def _command(function: Callable[[Namespace], None]) -> Callable[[Namespace], int]:
    """What a command does, as a handler that prints errors on one line."""

    @wraps(function)
    def handle(arguments: Namespace) -> int:
        if not HAS_PYARROW:
            return _refuse(NO_PYARROW)
        from service.bulk import BulkError

        try:
            function(arguments)
        except (BulkError, BundleError, TableError) as error:
            return _refuse(str(error))
        except OSError as error:
            return _refuse(os_error_text(error))
        except KeyboardInterrupt:
            print("\nbijecta: nothing was written", file=sys.stderr)
            raise
        return 0

    return handle


@_command
def calibrate(arguments: Namespace) -> None:
    """Write a version of a detector whose calibration comes from new normal rows.

    Raises:
        BundleError: there is no such detector, or the rows are too few for any alarm.
        BulkError: the rows cannot be read, or one of them is no row of this detector.
    """
    from service.bulk import BundleScorer, score_whole

    folder = bundle_folder(str(arguments.bundle))
    manifest, rows_sha256 = read_detector(folder), sha256(arguments.rows)
    if rows_sha256 == manifest.data.sha256:
        raise BundleError(
            f"{arguments.rows} is the table that {manifest.name} was fitted to: its rows score as "
            "rows that were seen, and other rows would raise too many alarms"
        )
    with closing(BundleScorer(folder, arguments.device, None)) as scorer:
        whole = score_whole(arguments.rows, scorer)
    label, classes = None, None
    for i, column in enumerate(manifest.context or ()):
        if column.classes and whole.context is not None:
            label, classes = column, np.asarray(whole.context[:, i], np.float64)
            break
    scores = np.asarray(whole.arrays["score"], np.float64)
    calibration = calibration_of(scores, classes)
    levels = alarm_levels(calibration, label)
    least = min(level.least for level in levels)
    if least > USUAL_LEVELS[0] and not arguments.allow_few:
        raise BundleError(_too_few(calibration, arguments.rows, least))
    files: dict[str, bytes | Path] = {name: folder / name for name in manifest.files}
    files[CALIBRATION] = calibration_bytes(calibration)
    for name in (COLUMN_VALUES, HOURS):
        files.pop(name, None)
    # rows that cannot occur are among them, with the values that a server puts in place of theirs:
    # it watches these too, and without them each is a change
    if manifest.columns:
        rows, random = np.asarray(whole.x, np.float64), np.random.default_rng(0)
        has_values = manifest.has_indexed_rows and len(rows) >= MIN_COLUMN_ROWS
        files |= references_of(manifest.columns, rows, scores, classes, has_values, random)
    content = manifest.model_dump(mode="json", exclude={"name", "version", "files", "checksum"})
    content["calibration"] = {
        "method": "rows",
        "rows": calibration.rows,
        "by": None if label is None else label.name,
        "levels": LEVELS,
        "score": quantiles(whole.arrays["score"]),
        "log_prob": quantiles(whole.arrays["log_prob"]),
    }
    content["made_with"] |= {
        "calibrated": f"{manifest.name} version {manifest.version}",
        "calibration_rows": arguments.rows.name,
        "calibration_rows_sha256": rows_sha256,
    }
    store = folder.parent.parent if arguments.store is None else arguments.store
    written = publish(store, manifest.name, files, content)
    said = said_of_hours(written, read_detector(written))
    outside = int(whole.outside.sum())
    print(
        f"{written}: calibrated with {calibration.rows} rows of {arguments.rows.name}"
        + f", {outside} of which cannot occur: they count as the most anomalous" * bool(outside)
    )
    _say_levels(levels)
    if said is not None:
        print(said)


def _too_few(calibration: Calibration, rows: Path, least: float) -> str:
    """Why rows calibrate nothing."""
    level = USUAL_LEVELS[0]
    return (
        f"{rows}: by these {calibration.rows} rows no p-value is below {least:.2g}, and nothing is "
        f"an anomaly at an alpha of {level:g}: expected {rows_for(level)} rows that can occur, "
        f"better {rows_for(USUAL_LEVELS[1])} or more; --allow-few writes the version all the same"
    )


def _say_levels(levels: Sequence[AlarmLevel]) -> None:
    """Say from which level on alarms can be raised."""
    for level in levels:
        print(level.said)
        if level.warning is not None:
            print(f"bijecta: warning: {level.warning}", file=sys.stderr)


@_command
def compare(arguments: Namespace) -> None:
    """Print paired differences of two bundles on the same rows.

    Raises:
        BundleError: there is no such bundle.
        BulkError: the rows cannot be read, or one of them is no row of these bundles.
        TableError: a label is unclear.
    """
    from service.bulk import BulkError, BundleScorer, score_whole

    keep = () if arguments.labels is None else (arguments.labels,)
    names, manifests, wholes = [], [], []
    for given in (arguments.a, arguments.b):
        with closing(BundleScorer(bundle_folder(given), arguments.device, None)) as scorer:
            manifests.append(scorer.manifest)
            names.append(f"{scorer.manifest.name}/{scorer.manifest.version}")
            wholes.append(score_whole(arguments.data, scorer, keep))
    print(f"{names[0]} less {names[1]}, on the {len(wholes[0].x)} rows of {arguments.data.name}")
    if _columns(manifests[0]) == _columns(manifests[1]):
        _compare_log_prob(*(np.asarray(w.arrays["log_prob"], np.float64) for w in wholes))
    elif not keep:
        raise BulkError(
            "the bundles are of different columns, whose log_probs are not comparable: --labels "
            "COLUMN compares how well they find anomalies"
        )
    if keep:
        labels = from_arrow(keep[0], wholes[0].kept[keep[0]])[keep[0]]
        anomalous = anomalies_of(labels, keep[0], "row {}".format)
        _compare_auroc([_anomaly_score(whole) for whole in wholes], anomalous)


def _columns(manifest: AnyManifest) -> Any:
    """What a density of a bundle is of: names of columns, or the shape of a row."""
    return manifest.column_names or list(manifest.event_shape)


def _compare_log_prob(a: Float64, b: Float64) -> None:
    both = np.isfinite(a) & np.isfinite(b)
    if left := int((~both).sum()):
        counts = [int(np.isneginf(values).sum()) for values in (a, b)]
        print(f"{left} rows are left out of log_prob: {counts[0]} and {counts[1]} without density")
    difference = (a - b)[both]
    if len(difference) < 2:
        return
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    print(
        f"log_prob {a[both].mean():.4f} and {b[both].mean():.4f} nats per row: "
        f"{difference.mean():+.4f} ± {error:.4f}"
    )


def _anomaly_score(whole: "WholeFile") -> Float64:
    """The score of a detector; of a density −log_prob."""
    arrays = whole.arrays
    score = arrays["score"] if "score" in arrays else -arrays["log_prob"]
    return np.asarray(score, np.float64)


def _compare_auroc(scores: list[Float64], anomalous: Any) -> None:
    if not anomalous.any():
        print("no row is labelled as an anomaly: there is no AUROC")
        return
    ranked = [placements(each[~anomalous], each[anomalous]) for each in scores]
    difference, error = auroc_difference(*ranked)
    both = " and ".join(f"{each.auroc:.4f} ± {each.error:.4f}" for each in ranked)
    count = int(anomalous.sum())
    print(f"AUROC {both}, of {count} anomalies: {difference:+.4f} ± {error:.4f}")


def _refuse(text: str) -> int:
    print(f"bijecta: {text}", file=sys.stderr)
    return 1
