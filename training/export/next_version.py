"""Whether a run is to become the next version of a bundle: versions of one name are one model."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import NamedTuple

from service import bundle
from service.bundle import (
    METHODS,
    NAME,
    AnyManifest,
    BundleError,
    EnsembleManifest,
    InverseReport,
    Manifest,
    Sweeps,
    Weighting,
)
from training.detectors import DetectorRun
from training.errors import ExportError
from training.export.inverse_search import FASTEST, InverseRequest
from training.runs import Run

NEXT_VERSION = "--next-version"

# By how much weights of the same ensemble differ, as JSON has them.
WEIGHTS_APART = 1e-9


@dataclass(frozen=True)
class Asked:
    """What is asked of a bundle beside the weights that it is of.

    Args:
        request: which inverses its graphs may have.
        student: a run whose guesses sweeps may start from.
        layers: whether it has the output of every layer.
        values: whether it has rows of the data.
        weighting: of an ensemble, where its weights are from.
        weights: those that are given.
    """

    request: InverseRequest = FASTEST
    student: Run | None = None
    layers: bool = False
    values: bool = True
    weighting: Weighting = "equal"
    weights: Sequence[float] | None = None

    def lacking(self, manifest: AnyManifest) -> Iterator[str]:
        """The options that a bundle of the same weights was made without, as far as it says."""
        parts = manifest.members if isinstance(manifest, EnsembleManifest) else [manifest]
        inverses: list[InverseReport] = []
        sweeps: list[Sweeps] = []
        for part in parts:
            inverses += getattr(part, "inverse", {}).values()
            sweeps += getattr(part, "sweeps", {}).values()
        method, tolerance = self.request.method, self.request.tolerance
        if method != "auto" and any(METHODS[each.method] != method for each in inverses):
            yield f"--inverse {method}"
        elif tolerance and any(each.tolerance != tolerance for each in inverses):
            yield f"--tolerance {tolerance:g}"
        if self.student is not None:
            sha256 = bundle.sha256(self.student.weights)
            if not any(each.guess and each.guess.sha256 == sha256 for each in sweeps):
                yield f"--guess {self.student.folder}"
        if self.layers and not (isinstance(manifest, Manifest) and manifest.layers):
            yield "--layers"
        if not self.values and manifest.self_test is not None:
            yield "--no-values"
        if isinstance(manifest, EnsembleManifest) and not self._has_weights_of(manifest):
            given = ",".join(f"{weight:.4g}" for weight in self.weights or ())
            yield f"--weights {given or self.weighting}"

    def _has_weights_of(self, manifest: EnsembleManifest) -> bool:
        if manifest.weighting != self.weighting or self.weights is None:
            return manifest.weighting == self.weighting
        pairs = zip(manifest.weights, self.weights, strict=True)
        return all(isclose(one, other, abs_tol=WEIGHTS_APART) for one, other in pairs)


PLAIN = Asked()


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
    run: Run | DetectorRun, store: Path, name: str, asked: Asked = PLAIN
) -> Path | None:
    """The newest version of a bundle, if it holds the weights of this run already.

    Args:
        run: that is to be exported.
        store: folder of bundles.
        name: of the bundle.
        asked: what else is asked of the bundle.

    Raises:
        ExportError: the name is not allowed; its newest version is of another run: those who ask
            for the model by its name would get another one, of other data perhaps; or it is of the
            same weights and was made otherwise.
    """
    check_name(name)
    newest = _newest(store, name)
    if newest is None:
        return None
    made_with, weights = newest.manifest.made_with, newest.manifest.weights_sha256
    same_weights = weights == bundle.sha256(run.weights)
    same_run = made_with.get("run_sha256") == run_sha256(run)
    if same_weights and (same_run or "run_sha256" not in made_with):
        return _as_asked(newest, asked)
    if same_run:
        return None
    raise _of_another(newest, f"this run is {run.folder}")


def ensemble_exported_already(
    runs: Sequence[Run], store: Path, name: str, asked: Asked
) -> Path | None:
    """The newest version of a bundle, if it is the ensemble of these runs already.

    Args:
        runs: of the members, in their order.
        store: folder of bundles.
        name: of the bundle.
        asked: what else is asked of the bundle, the weights of the members among it.

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
    weights = [bundle.sha256(run.weights) for run in runs]
    same = weights == [member.weights_sha256 for member in members]
    return _as_asked(newest, asked) if same else None


def _as_asked(newest: Newest, asked: Asked) -> Path:
    """The folder of a newest version of the same weights.

    Raises:
        ExportError: it was made otherwise than is asked.
    """
    if lacking := " and ".join(asked.lacking(newest.manifest)):
        raise ExportError(
            f"{newest.folder} holds these weights already, without {lacking}: {NEXT_VERSION} "
            "exports them once more"
        )
    return newest.folder


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
