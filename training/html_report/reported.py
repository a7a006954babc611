"""What is reported on: a run, a bundle, or both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.bundle import (
    AnyManifest,
    DetectorHeldOut,
    DetectorManifest,
    Fidelity,
    HeldOut,
    Manifest,
    TableHeldOut,
)
from training.html_report.blocks import AbsentError
from training.plots import Subject

if TYPE_CHECKING:
    from training.detectors import DetectorRun
    from training.runs import Progress, Run
    from training.selection import Selection

AnyHeldOut = HeldOut | TableHeldOut | DetectorHeldOut


@dataclass(frozen=True, kw_only=True)
class OfRun:
    """What the folder of a trained run holds beside its weights.

    Args:
        run: the run.
        progress: how far its training had got.
        held_out: its figures; None of one that was not evaluated.
        fidelity: how near a student came to its teacher; None likewise.
        selection: what `bijecta fit` tried; None of other runs.
        pass_name: what its training is counted in, `epoch` or `step`.
        evaluated: which weights the figures are of, and by which versions; empty where unknown.
    """

    run: "Run"
    progress: "Progress"
    held_out: HeldOut | TableHeldOut | None
    fidelity: Fidelity | None
    selection: "Selection | None"
    pass_name: str
    evaluated: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class OfBundle:
    """A bundle.

    Args:
        folder: store/NAME/VERSION.
        manifest: of it.
        signature: whether it is signed, and by whom, for people.
    """

    folder: Path
    manifest: AnyManifest
    signature: str


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What is reported on. It is of a run, of a detector's run, or of a bundle, or of two of these.

    Args:
        trained: the run.
        detector: the run of a detector.
        bundle: the bundle.
        subject: what is plotted; None where there is nothing, and `no_subject` says why.
        seed: of what is drawn from the model.
    """

    trained: OfRun | None
    detector: "DetectorRun | None"
    bundle: OfBundle | None
    subject: Subject | None
    no_subject: str
    seed: int

    @property
    def name(self) -> str:
        """Of the model."""
        if self.bundle is not None:
            return self.bundle.manifest.name
        return self.trained.run.file.name if self.trained else self.fitted.file.name

    @property
    def family(self) -> str:
        """Of the model."""
        if self.trained is not None:
            return self.trained.run.file.flow.family
        return "detector" if self.bundle is None else self.bundle.manifest.family

    @property
    def fitted(self) -> "DetectorRun":
        """The run of a detector.

        Raises:
            AbsentError: it is of something else.
        """
        if self.detector is None:
            raise AbsentError("it is no run of a detector")
        return self.detector

    @property
    def manifest(self) -> AnyManifest:
        """What the bundle says of itself.

        Raises:
            AbsentError: there is no bundle.
        """
        return self.exported.manifest

    @property
    def exported(self) -> OfBundle:
        """The bundle.

        Raises:
            AbsentError: there is none.
        """
        if self.bundle is None:
            raise AbsentError(
                "a run does not know its exports: --bundle STORE/NAME adds what the bundle says"
            )
        return self.bundle

    @property
    def learned(self) -> OfRun:
        """The run.

        Raises:
            AbsentError: there is none.
        """
        if self.trained is not None:
            return self.trained
        if self.bundle is None:
            raise AbsentError("the run of a detector does not keep it")
        made_with = self.bundle.manifest.made_with
        run = made_with.get("run")
        which = "its run" if run is None else f"its run, {run!r}"
        if sha256 := made_with.get("run_sha256"):
            which += f", whose run.json has sha256 {sha256}"
        raise AbsentError(f"a bundle does not keep it; it is in {which}")

    @property
    def held_out(self) -> AnyHeldOut:
        """The figures of rows that training never saw.

        Raises:
            AbsentError: there are none yet.
        """
        if self.trained is None:
            return self.manifest.held_out
        if self.trained.held_out is None:
            raise AbsentError("the run has not been evaluated: `bijecta evaluate RUN`")
        return self.trained.held_out

    @property
    def fidelity(self) -> Fidelity:
        """How near a student is to its teacher.

        Raises:
            AbsentError: it is no student, or was not compared.
        """
        if self.trained is not None and self.trained.run.file.teacher is not None:
            if self.trained.fidelity is None:
                raise AbsentError(
                    "the student has not been compared with its teacher: `bijecta evaluate RUN`"
                )
            return self.trained.fidelity
        manifest = None if self.bundle is None else self.bundle.manifest
        if isinstance(manifest, Manifest) and manifest.distilled is not None:
            return manifest.distilled.fidelity
        raise AbsentError("the model is no student: `bijecta distill` makes one")

    @property
    def is_detector(self) -> bool:
        """Whether it scores anomalies."""
        manifest = None if self.bundle is None else self.bundle.manifest
        return self.detector is not None or isinstance(manifest, DetectorManifest)
