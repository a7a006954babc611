"""From the run of a detector to a verified bundle in a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from service import bundle
from service.bundle import DetectorManifest, LabelledFigures, raw_values_of
from service.tables import to_values
from training.detectors import AnyPart, ArrayDetector, ArrayPart, ContextRows, Detector, DetectorRun
from training.errors import ExportError
from training.evaluate import quantiles_of
from training.export.detector.verify import verified_detector
from training.export.next_version import check_name
from training.export.publish import of_run

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutScores:
    """Rows, and what members that did not see them say of them.

    Args:
        rows: N × event shape, as the detector takes them.
        context: what they are conditioned on, or None.
        score: N.
        log_prob: N, in nats.
        labelled: what labels say of the scores, where there are some.
    """

    rows: NDArray[Any]
    context: ContextRows | None
    score: Float64
    log_prob: Float64
    labelled: LabelledFigures | None = None


def export_detector(
    run: DetectorRun,
    detector: Detector | ArrayDetector,
    held_out: HeldOutScores,
    store: Path,
    name: str,
    values: bool = True,
) -> tuple[Path, DetectorManifest]:
    """Write a detector as a new version of a bundle, with its calibration.

    Scores are compared within the classes of the label of its context, where there is one.

    Args:
        run: that holds it.
        detector: it.
        held_out: rows to verify the graphs with, and what calibrates.
        store: folder of bundles, created if it is missing.
        name: of the bundle.
        values: whether the bundle has rows of the data: for its self-test, and for reasons.

    Returns:
        The folder store/<name>/<version> and the manifest in it.

    Raises:
        ExportError: the name is not allowed, a graph misses the tolerances, or the detector needs
            rows of the data that it may not have.
    """
    check_name(name)
    if not values:
        check_without_values(detector.spec.parts)
    rows, context = held_out.rows, held_out.context
    known = None if context is None else context.values.astype(np.float64)
    deviation = float(held_out.score.std()) or 1.0
    graphs = verified_detector(detector, rows, known, deviation, neighbours=values)
    label = next((i for i, c in enumerate(run.file.context) if c.classes), None)
    classes = None if label is None or known is None else known[:, label]
    files = {bundle.SCORE: graphs.score}
    if graphs.neighbours is not None:
        files[bundle.NEIGHBOURS] = graphs.neighbours
    scores = bundle.calibration_of(held_out.score, classes)
    files[bundle.CALIBRATION] = bundle.calibration_bytes(scores)
    modelled, left_out = run.file.modelled, run.file.left_out
    if modelled:
        random = np.random.default_rng(run.file.recipe.seed)
        files |= bundle.references_of(modelled, rows, held_out.score, classes, values, random)
    manifest = _manifest(run, detector, held_out, with_neighbours=graphs.neighbours is not None) | {
        "raw_values": raw_values_of(modelled, values, left_out, values),
        "calibration": {
            "method": "out_of_bag",
            "by": None if label is None else run.file.context[label].name,
            **quantiles_of(held_out.log_prob),
            "score": bundle.quantiles(held_out.score),
        },
        "tolerances": graphs.tolerances.model_dump(),
    }
    if values:
        manifest["self_test"] = _self_test(run, detector, held_out)
    folder = bundle.publish(store, name, files, manifest)
    return folder, bundle.read_detector(folder)


def check_without_values(parts: Sequence[AnyPart | ArrayPart]) -> None:
    """Refuse what a bundle without values of the data cannot have.

    Raises:
        ExportError: a part of the score compares rows with those of the data.
    """
    if holding := [part for part in parts if part.indexed_rows]:
        rows = sum(part.indexed_rows for part in holding)
        kinds = ", ".join(dict.fromkeys(part.kind for part in holding))
        raise ExportError(
            f"--no-values: this detector compares rows with {rows} rows of the data, in its parts "
            f"{kinds}; without values of the data `bijecta fit` makes a density, whose log_prob "
            "has quantiles"
        )


def _manifest(
    run: DetectorRun,
    detector: Detector | ArrayDetector,
    held_out: HeldOutScores,
    with_neighbours: bool,
) -> dict[str, Any]:
    """What a manifest states about a detector, its data and its scores."""
    file, shape = run.file, detector.event_shape
    number = {"type": "float64", "row_shape": []}
    inputs = {"x": {"type": "float64", "row_shape": shape}}
    if file.context:
        inputs["context"] = {"type": "float64", "row_shape": [len(file.context)]}
    outputs: dict[str, dict[str, Any]] = {"score": {"score": number, "log_prob": number}}
    if with_neighbours and isinstance(detector, Detector):
        of_values = [*shape, detector.neighbour_count]
        outputs["neighbours"] = {"values": {"type": "float64", "row_shape": of_values}}
    log_prob = held_out.log_prob
    return {
        "format_version": bundle.TYPED_FORMAT,
        "kind": "detector",
        "family": "detector",
        "columns": [column.model_dump() for column in file.modelled] or None,
        "left_out": [column.model_dump() for column in file.left_out],
        "context": [column.model_dump() for column in file.context] or None,
        "event_shape": shape,
        "graphs": {
            name: {"inputs": inputs, "outputs": of_graph, "cost": "parallel"}
            for name, of_graph in outputs.items()
        },
        "dtype": "float64",
        "arithmetic": "float64",
        "configuration": file.spec.configuration,
        "parts": [
            {
                "name": part.name,
                "detail": part.detail,
                "weight": weight,
                "indexed_rows": part.indexed_rows,
            }
            for part, weight in zip(file.spec.parts, detector.weights, strict=True)
        ],
        "data": {"name": file.data_name, "sha256": file.data_sha256},
        "held_out": {
            "log_prob": float(log_prob.mean()),
            "se": float(log_prob.std(ddof=1) / np.sqrt(len(log_prob))),
            "rows": len(log_prob),
            "labelled": held_out.labelled and held_out.labelled.model_dump(),
        },
        **of_run(run),
    }


def _self_test(
    run: DetectorRun, detector: Detector | ArrayDetector, held_out: HeldOutScores
) -> dict[str, Any]:
    """The row of median score, and what the detector says of it."""
    middle = int(np.argsort(held_out.score)[len(held_out.score) // 2])
    x = held_out.rows[middle : middle + 1].astype(np.float64)
    known = None if held_out.context is None else held_out.context.values[middle : middle + 1]
    inputs = [x] if known is None else [x, known.astype(np.float64)]
    score, log_prob = detector(*map(torch.from_numpy, inputs))
    modelled = run.file.modelled
    row = (
        [value for (value,) in to_values(x, modelled).values()] if modelled else x.ravel().tolist()
    )
    return {
        "row": row,
        "context": None if known is None else known[0].tolist(),
        "score": float(score[0]),
        "log_prob": float(log_prob[0]),
    }
