"""Whether a run is to become the next version of a bundle: versions of one name are one model."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from service import bundle
from service.bundle import (
    NAME,
    AnyManifest,
    BundleError,
    EnsembleManifest,
    Manifest,
    Weighting,
)
from training.detectors import DetectorRun
from training.errors import ExportError
from training.runs import Run

NEXT_VERSION = "--next-version"


class Newest(NamedTuple):
    """The newest version of a bundle: its folder and its manifest."""

    folder: Path
    manifest: AnyManifest


def check_name(name: str) -> None:
    """Refuse a name that no bundle can have.

    Raises:
        ExportError: the name is not allowed.
    """
    if not NAME.fullmatch(name):
        raise ExportError(f"a bundle's name matches {NAME.pattern}, {name!r} does not")


def run_sha256(run: Run | DetectorRun) -> str:
    """The checksum of a run.json, which is written once, when the run begins."""
    return bundle.sha256(run.folder / "run.json")


def exported_already(
    run: Run | DetectorRun, store: Path, name: str, with_layers: bool = False
) -> Path | None:
    """The newest version of a bundle, if it holds the weights of this run already.

    Args:
        run: that is to be exported.
        store: folder of bundles.
        name: of the bundle.
        with_layers: whether only one that has the output of every layer will do.

    Raises:
        ExportError: the name is not allowed, or its newest version is of another run: those who ask
            for the model by its name would get another one, of other data perhaps.
    """
    check_name(name)
    newest = _newest(store, name)
    if newest is None:
        return None
    made_with, weights = newest.manifest.made_with, newest.manifest.weights_sha256
    same_weights = weights == bundle.sha256(run.weights)
    same_run = made_with.get("run_sha256") == run_sha256(run)
    if same_weights and (same_run or "run_sha256" not in made_with):
        if with_layers and isinstance(newest.manifest, Manifest) and not newest.manifest.layers:
            return None
        return newest.folder
    if same_run:
        return None
    raise _of_another(newest, f"this run is {run.folder}")


def ensemble_exported_already(
    runs: Sequence[Run], store: Path, name: str, weighting: Weighting
) -> Path | None:
    """The newest version of a bundle, if it is the ensemble of these runs already.

    Args:
        runs: of the members, in their order.
        store: folder of bundles.
        name: of the bundle.
        weighting: where the weights are from; those that are given may be others.

    Raises:
        ExportError: as of `exported_already`.
    """
    check_name(name)
    newest = _newest(store, name)
    if newest is None:
        return None
    members = newest.manifest.members if isinstance(newest.manifest, EnsembleManifest) else []
    made_of = [run_sha256(run) for run in runs]
    if made_of != [member.run_sha256 for member in members]:
        folders = ", ".join(str(run.folder) for run in runs)
        raise _of_another(newest, f"this is the ensemble of {folders}")
    assert isinstance(newest.manifest, EnsembleManifest)
    weights = [bundle.sha256(run.weights) for run in runs]
    same = weights == [member.weights_sha256 for member in members]
    is_kept = same and weighting != "given" and newest.manifest.weighting == weighting
    return newest.folder if is_kept else None


def _of_another(newest: Newest, this: str) -> ExportError:
    """The error of a newest version that is of something else."""
    other = newest.manifest.made_with.get("run", "another run")
    return ExportError(
        f"{newest.folder} is of {other}, on {newest.manifest.data.name}, and {this}: "
        f"{NEXT_VERSION} makes it the next version of {newest.manifest.name!r}, --name NAME a "
        "model of its own"
    )


def check_store(store: Path, name: str, data_sha256: str | None) -> None:
    """See, before anything is trained, that a model can become the next version of a bundle.

    Args:
        store: folder of bundles, which need not exist yet.
        name: of the bundle.
        data_sha256: the checksum of the data; None if other versions may be of other data.

    Raises:
        ExportError: nothing can be written there, or the newest version is of other data.
    """
    parent = store / name
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ExportError(f"nothing can be written to {parent}: choose another --store")
    newest = _newest(store, name)
    if newest is not None and data_sha256 not in (None, newest.manifest.data.sha256):
        raise ExportError(
            f"{newest.folder} is of {newest.manifest.data.name}, not of this table: "
            f"{NEXT_VERSION} makes this one the next version of {name!r}, --name NAME a model of "
            "its own"
        )


def _newest(store: Path, name: str) -> Newest | None:
    """The newest version that can be read; None where there is none."""
    for version in reversed(bundle.versions(store / name)):
        folder = store / name / str(version)
        try:
            return Newest(folder, bundle.read(folder))
        except BundleError:  # the service refuses it too, and serves the one before
            continue
    return None
