"""What `bijecta plot` does."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from service.bundle import BundleError
from service.store_folder import named_folder
from training.errors import PlotError
from training.plots.bundle_subject import BundleSubject
from training.plots.detectors.subject import detector_of_bundle, is_detector
from training.plots.ensemble_subject import EnsembleSubject, is_ensemble
from training.plots.kind import Kind
from training.plots.registry import KINDS
from training.plots.style import styled
from training.plots.subject import Subject
from training.plots.writing import MOVING, STILL, write_moving, write_still

FOLDER = Path("plots")


def plot(arguments: Namespace) -> None:
    """Draw a run or a bundle, and write a file for each kind of plot.

    Raises:
        PlotError: there is no such model or kind, or a plot that was asked for is not made.
        TrainingError: a run that is damaged, or data that is not its own.
        OSError: a file cannot be written.
    """
    kinds = _kinds_named(arguments.kind)
    file = _one_file(arguments.out, arguments.format, kinds)
    folder = file.parent if file is not None else arguments.out or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    subject = open_subject(arguments.model, arguments.data, arguments.shape)
    made = 0
    for kind in kinds or KINDS:
        if not kinds and arguments.format in MOVING and kind.animate is None:
            continue
        form = arguments.format or ("png" if kind.animate is None else "gif")
        path = file or folder / f"{subject.traits.name}-{kind.name}.{form}"
        try:
            write(kind, subject, arguments.seed, path)
        except PlotError as error:
            if kinds:
                raise PlotError(f"no {kind.name} of {subject.traits.name}: {error}") from None
            print(f"no {kind.name}: {error}", file=sys.stderr, flush=True)
        else:
            made += 1
            print(path, flush=True)
    if not made:
        raise PlotError(f"{subject.traits.name} has none of these plots")


def write(kind: Kind, subject: Subject, seed: int, path: Path) -> None:
    """Draw a kind of plot of a model to a file, whose ending says its format.

    Raises:
        PlotError: the model has no such plot.
        OSError: the file cannot be written.
    """
    with styled():
        if path.suffix[1:] in STILL:
            write_still(kind.draw(subject, seed), path)
        elif kind.animate is None:
            raise PlotError(f"it does not move: {' or '.join(STILL)} are its formats")
        else:
            write_moving(kind.animate(subject, seed), path)


def open_subject(
    path: Path, data: Path | None = None, picture_shape: Sequence[int] | None = None
) -> Subject:
    """The model in a run folder, or in a bundle of a store.

    Args:
        path: of the run folder; or store/NAME, store/NAME@ALIAS or store/NAME/VERSION.
        data: see the classes.
        picture_shape: see `Subject`.

    Raises:
        PlotError: there is none.
        TrainingError: the run is damaged, or `data` is not its own.
    """
    if (path / "run.json").exists():
        try:
            from training.plots.detectors.run import detector_of_run, is_detector_run
            from training.plots.run_subject import RunSubject
            from training.runs import Run
        except ModuleNotFoundError as error:
            raise PlotError(
                f"plotting a run needs {error.name}: pip install 'bijecta[train]'; a bundle is "
                "plotted without"
            ) from None
        if is_detector_run(path):
            return detector_of_run(path, data)
        return RunSubject(Run.open(path), data, picture_shape)
    try:
        folder = named_folder(path)
    except BundleError as error:
        raise PlotError(str(error)) from None
    if folder is None:
        raise PlotError(
            f"{path}: expected a run folder, or a bundle: store/NAME or store/NAME/VERSION"
        )
    if is_detector(folder):
        return detector_of_bundle(folder, data)
    of_bundle = EnsembleSubject if is_ensemble(folder) else BundleSubject
    return of_bundle(folder, data, picture_shape)


def _kinds_named(names: Sequence[str]) -> list[Kind]:
    """The kinds of these names.

    Raises:
        PlotError: there is no such kind.
    """
    by_name = {kind.name: kind for kind in KINDS}
    for name in names:
        if name not in by_name:
            raise PlotError(f"--kind is one of {', '.join(by_name)}, not {name!r:.40}")
    return [by_name[name] for name in dict.fromkeys(names)]


def _one_file(out: Path | None, form: str | None, kinds: Sequence[Kind]) -> Path | None:
    """The file that is to be written; None where a folder takes one for each kind.

    Raises:
        PlotError: the options do not go together.
    """
    if out is None or out.suffix[1:] not in (*STILL, *MOVING) or out.is_dir():
        return None
    if form not in (None, out.suffix[1:]):
        raise PlotError(f"--out is a file of format {out.suffix[1:]}, and --format says {form}")
    if len(kinds) != 1:
        raise PlotError(f"--out {out} is one file: --kind says of which plot, or name a folder")
    return out
