"""A detector that is plotted: of a bundle by its graph in onnxruntime, without torch."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from service.bundle import (
    BASES,
    SCORE,
    BundleError,
    DetectorManifest,
    read,
    read_calibration,
    read_identity,
    read_manifest,
)
from service.conformal import Calibration
from service.runtime import Device
from training.errors import PlotError
from training.plots.detectors.rows import ScoredRows, rows_to_score
from training.plots.subject import Array, Float64, Rows, Scores, Stage, Subject, Traits

ROWS_AT_ONCE = 1024


class DetectorSubject(Subject):
    """A detector, which has scores, and neither latents nor samples.

    Args:
        traits: what is known of it.
        calibration: scores of normal rows; or why there are none.
        class_column: the number of the context's column within whose classes rows are compared;
            None where all are.
        score: of rows and what they are conditioned on, N.
        rows: of data, to be scored; None for none.
    """

    def __init__(
        self,
        traits: Traits,
        calibration: Calibration | str,
        class_column: int | None,
        score: Callable[[Array, Array | None], Float64],
        rows: ScoredRows | None,
    ) -> None:
        super().__init__(traits)
        self._calibration = calibration
        self._class_column = class_column
        self._score = score
        self._rows = rows

    @property
    def scores(self) -> Scores:
        """Those of normal rows, and of rows of data."""
        if isinstance(self._calibration, str):
            raise PlotError(self._calibration)
        column, rows = self._class_column, self._rows
        label = None if column is None else self.traits.context[column]
        if rows is None:
            return Scores(self._calibration, label, None, None, "")
        scores = self._score(rows.values, rows.context)
        scores[rows.impossible] = np.inf
        if np.isnan(scores).any():
            raise PlotError(f"the score of row {int(np.isnan(scores).argmax())} is no number")
        classes = None if column is None or rows.context is None else rows.context[:, column]
        return Scores(self._calibration, label, scores, classes, rows.said)

    def encode(
        self, x: Array, context: Array | None = None, u: Float64 | None = None
    ) -> tuple[Float64, Float64]:
        """A detector has none."""
        self._refuse()

    def decode(self, z: Array, context: Array | None = None) -> tuple[Float64, Float64]:
        """A detector has none."""
        self._refuse()

    @property
    def rows(self) -> Rows:
        """A detector is drawn by its scores alone."""
        self._refuse()

    def decode_by_layers(self, z: Array, context: Array | None) -> list[Stage]:
        """A detector has none."""
        self._refuse()

    def encode_by_layers(self, x: Array, context: Array | None) -> list[Stage]:
        """A detector has none."""
        self._refuse()

    @property
    def log(self) -> NoReturn:
        """A detector has none."""
        self._refuse()

    @property
    def teacher(self) -> NoReturn:
        """A detector has none."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise PlotError("it is a detector, which has scores alone")


def is_detector(folder: Path) -> bool:
    """Whether a bundle holds a detector; False also of one that cannot be read."""
    try:
        return isinstance(read_manifest(folder), DetectorManifest)
    except BundleError:
        return False


def detector_of_bundle(folder: Path, data: Path | None) -> DetectorSubject:
    """The detector of a bundle.

    Args:
        folder: store/NAME/VERSION.
        data: rows to score; None for none.

    Raises:
        PlotError: the bundle or the rows cannot be read.
        TrainingError: likewise of the rows, as training says it.
    """
    try:
        manifest = read(folder, identity=read_identity(folder))
        assert isinstance(manifest, DetectorManifest)
        calibration = read_calibration(folder, manifest)
    except BundleError as error:
        raise PlotError(str(error)) from None
    traits = Traits(
        name=manifest.name,
        family=manifest.family,
        data_name=manifest.data.name,
        event_shape=tuple(manifest.event_shape),
        latent_shape=(),
        base=BASES["normal"],
        base_parameters={},
        dtype=manifest.dtype,
        columns=manifest.columns,
        names=manifest.column_names,
        context=manifest.context or (),
    )
    return DetectorSubject(
        traits,
        calibration or f"{manifest.name} is not calibrated: `bijecta calibrate` does it",
        manifest.class_column,
        lambda x, context: _scores(folder, x, context),
        None if data is None else rows_to_score(traits, manifest.left_out, data),
    )


def _scores(folder: Path, x: Array, context: Array | None) -> Float64:
    """The scores of rows by the graph of a bundle: N."""
    given = {"x": x} if context is None else {"x": x, "context": context}
    wide = {name: np.ascontiguousarray(values, np.float64) for name, values in given.items()}
    try:
        session = Device("cpu").session((folder / SCORE).read_bytes())
        parts = [
            session.run(["score"], {k: v[first : first + ROWS_AT_ONCE] for k, v in wide.items()})[0]
            for first in range(0, len(x), ROWS_AT_ONCE)
        ]
    except Exception as error:  # onnxruntime has no one class of errors
        raise PlotError(f"{folder}: {SCORE} cannot be loaded, or failed: {error}") from None
    scores: Float64 = np.concatenate([*parts, np.empty(0)])
    return scores
