"""The run of a detector that is plotted, by its weights in torch."""

import json
from pathlib import Path

from service.bundle import BASES
from service.conformal import Calibration
from training.detectors import ArrayDetector, DetectorRun
from training.plots.detectors.rows import rows_to_score
from training.plots.detectors.subject import DetectorSubject
from training.plots.subject import Array, Float64, Traits


def is_detector_run(folder: Path) -> bool:
    """Whether a run is of a detector; False also of one that cannot be read."""
    try:
        return bool(json.loads((folder / "run.json").read_bytes())["kind"] == "detector")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def detector_of_run(folder: Path, data: Path | None) -> DetectorSubject:
    """The detector of a run folder.

    Args:
        folder: of the run.
        data: rows to score; None for none.

    Raises:
        PlotError, TrainingError: the run is damaged, or the rows cannot be read.
    """
    run = DetectorRun.open(folder)
    fitted, file = run.fitted(), run.file
    detector = fitted.detector
    traits = Traits(
        name=file.name,
        family="detector",
        data_name=file.data_name,
        event_shape=tuple(detector.event_shape),
        latent_shape=(),
        base=BASES["normal"],
        base_parameters={},
        dtype="float64",
        columns=file.modelled or None,
        names=[column.name for column in file.modelled] or None,
        context=file.context,
    )
    label = next((i for i, column in enumerate(file.context) if column.classes), None)
    calibration: Calibration | str = Calibration.of(fitted.out_of_sample)
    if label is not None:
        calibration = (
            f"scores are compared within the classes of {file.context[label].name}, which a run "
            "does not hold: plot its bundle"
        )

    def score(x: Array, context: Array | None) -> Float64:
        if isinstance(detector, ArrayDetector):
            return detector.scores(x)
        return detector.scores(x, context)

    rows = None if data is None else rows_to_score(traits, file.left_out, data)
    return DetectorSubject(traits, calibration, label, score, rows)
