"""Opening what is reported on. Of a bundle it imports no torch."""

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from service import bundle
from service.bundle import (
    MANIFEST,
    SIGNATURE,
    BundleError,
    Fidelity,
    Figure,
    HeldOut,
    KeyFileError,
    TableHeldOut,
    TrustedKeys,
    UnsafeBundleError,
)
from service.store_folder import named_folder
from training.errors import PlotError, ReportError
from training.html_report.reported import OfBundle, OfRun, Reported
from training.plots import Subject, open_subject

if TYPE_CHECKING:
    from training.detectors import DetectorRun

M = TypeVar("M", bound=BaseModel)

MAX_FILE_BYTES = 2**20
"""Of a file of figures, which has a few hundred."""


def opened(arguments: Namespace) -> Reported:
    """What the arguments of `bijecta report` name.

    Raises:
        ReportError: there is no run and no bundle, a file of theirs is damaged, or the bundle is
            not of the run.
        TrainingError: likewise, as runs and plots say it.
    """
    path: Path = arguments.model
    trained, detector, exported = None, None, None
    if (path / "run.json").exists():
        if _is_detector(path):
            detector = _detector_run(path)
        else:
            trained = _of_run(path)
        if arguments.bundle is not None:
            exported = _of_bundle(arguments.bundle, arguments.trusted_keys)
            _check_is_of(exported, path)
    elif arguments.bundle is not None:
        raise ReportError(f"{path} is no run folder: --bundle names a bundle of a run")
    else:
        exported = _of_bundle(path, arguments.trusted_keys)
    if trained is not None and not trained.run.weights.is_file():
        subject, reason = None, "the run has no weights yet"
    else:
        # of a detector, whose scores its bundle alone compares within classes, the bundle's
        folder = path if exported is None or trained is not None else exported.folder
        subject, reason = _subject(folder, arguments)
    return Reported(
        trained=trained,
        detector=detector,
        bundle=exported,
        subject=subject,
        no_subject=reason,
        seed=arguments.seed,
    )


def _is_detector(folder: Path) -> bool:
    """Whether a run.json says that it is of a detector; who reads it says what is wrong with it."""
    try:
        content = json.loads((folder / "run.json").read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("kind") == "detector"


def _detector_run(folder: Path) -> "DetectorRun":
    try:
        from training.detectors import DetectorRun
    except ModuleNotFoundError as error:
        raise _needed(error) from None
    return DetectorRun.open(folder)


def _of_run(folder: Path) -> OfRun:
    try:
        from training.config import TYPED_FAMILIES, family_class
        from training.evaluate import EVALUATION, TypedHeldOut
        from training.runs import Run, kept_of
        from training.selection import CHOSEN, Selection
    except ModuleNotFoundError as error:
        raise _needed(error) from None
    run = Run.open(folder)
    family = run.file.flow.family
    held_out: HeldOut | TableHeldOut | None
    kind = TypedHeldOut if family in TYPED_FAMILIES else HeldOut
    held_out = _figures(folder / "evaluation.json", kind)
    if isinstance(held_out, TypedHeldOut):  # as bundles say it
        independent = held_out.independent
        held_out = TableHeldOut(
            log_prob=held_out.log_prob,
            se=held_out.se,
            rows=held_out.rows,
            independent=Figure(mean=independent.log_prob, se=independent.se),
            gain=Figure(mean=independent.gain, se=independent.gain_se),
        )
    return OfRun(
        run=run,
        progress=run.progress(),
        held_out=held_out,
        fidelity=_figures(folder / "fidelity.json", Fidelity),
        selection=_figures(folder / CHOSEN, Selection),
        evaluated=kept_of(run, EVALUATION),
        pass_name="step" if family_class(family).without_gradients else "epoch",
    )


def _needed(error: ModuleNotFoundError) -> ReportError:
    return ReportError(
        f"a report on a run needs {error.name}: pip install 'bijecta[train]'; a bundle is reported "
        "on without"
    )


def _figures(path: Path, kind: type[M]) -> M | None:
    """The figures in a file of a run; None where there is no such file.

    Raises:
        ReportError: it is damaged.
        OSError: it cannot be read.
    """
    if not path.exists():
        return None
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ReportError(f"{path} is damaged: it is larger than {MAX_FILE_BYTES} bytes")
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ReportError(f"{path} is damaged: {bundle.first_error(error)}") from None


def _of_bundle(path: Path, trusted_keys: Path | None) -> OfBundle:
    """A bundle, all files of which are as its manifest says."""
    try:
        folder = named_folder(path)
        if folder is None:
            raise ReportError(
                f"{path}: expected a run folder, or a bundle: store/NAME or store/NAME/VERSION"
            )
        manifest = bundle.read(folder, identity=bundle.read_identity(folder))
        return OfBundle(
            folder=folder, manifest=manifest, signature=_signature(folder, trusted_keys)
        )
    except (BundleError, KeyFileError) as error:
        raise ReportError(str(error)) from None


def _signature(folder: Path, trusted_keys: Path | None) -> str:
    """Whether a bundle is signed, and by whom."""
    if trusted_keys is None:
        if not (folder / SIGNATURE).exists():
            return "not signed"
        return f"there is a {SIGNATURE}, which was not checked: --trusted-keys FILE checks it"
    keys = TrustedKeys(trusted_keys)
    try:
        bundle.read(folder, identity=bundle.read_identity(folder), trusted=keys)
        return f"signed with key {keys.check(folder, (folder / MANIFEST).read_bytes())}"
    except UnsafeBundleError as error:
        return f"not as a trusted key has signed it: {error}"


def _check_is_of(exported: OfBundle, run: Path) -> None:
    """See that a bundle is of a run, with the weights that this has now.

    Raises:
        ReportError: it is not.
    """
    weights = run / "weights.safetensors"
    expected = bundle.sha256(weights) if weights.is_file() else None
    if exported.manifest.weights_sha256 != expected:
        raise ReportError(
            f"{exported.folder} is not of the weights of {run}: it is of run "
            f"{exported.manifest.made_with.get('run')!r}, with other weights"
        )


def _subject(folder: Path, arguments: Namespace) -> tuple[Subject | None, str]:
    """What is plotted, or why there is nothing."""
    try:
        return open_subject(folder, arguments.data, arguments.shape), ""
    except PlotError as error:
        if arguments.data is not None:
            raise
        return None, str(error)
