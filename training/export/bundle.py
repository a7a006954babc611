"""From a run to a verified bundle in a store."""

import json
import shutil
import tempfile
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np

from models.flow import Flow
from service import bundle
from service.bundle import (
    FORMAT_VERSION,
    NAME,
    Direction,
    Fidelity,
    HeldOut,
    Manifest,
)
from training.data import Dataset
from training.errors import ExportError
from training.export.float64_fallback import arithmetic, verified
from training.export.inverse_search import FASTEST, InverseRequest
from training.export.next_version import run_sha256
from training.export.round_trip import measured_round_trip
from training.export.torch_export import OPSET
from training.export.verify import Reference, tolerances
from training.files import write_atomically
from training.preprocessing import per_coordinate
from training.runs import Run
from training.scoring import log_prob

FILES: dict[Direction, str] = {"encode": bundle.ENCODE, "decode": bundle.DECODE}
CALIBRATION_LEVELS = [i / 200 for i in range(201)]


def export(
    run: Run,
    dataset: Dataset,
    evaluation: HeldOut,
    store: Path,
    name: str,
    request: InverseRequest = FASTEST,
    fidelity: Fidelity | None = None,
) -> tuple[Path, Manifest]:
    """Write the best flow of a run as a new version of a bundle.

    Args:
        run: the run.
        dataset: its data; the graphs are verified on its test rows.
        evaluation: the held-out figures for the manifest.
        store: folder of bundles, created if it is missing.
        name: name of the bundle.
        request: which inverses of masked layers to choose from.
        fidelity: how close a student is to its teacher, for the manifest.

    Returns:
        The folder store/<name>/<version> and the manifest in it.

    Raises:
        ExportError: the name is not allowed, or a graph misses the tolerances both in float32 and
            in float64 arithmetic.
    """
    if not NAME.fullmatch(name):
        raise ExportError(f"a bundle's name matches {NAME.pattern}, {name!r} does not")
    flow = run.best_flow()
    reference = Reference(flow, dataset)
    graphs = {which: verified(which, flow, reference, request) for which in FILES}
    contents = {FILES[which]: graph.content for which, graph in graphs.items()}
    inverse = {k: graph.inverse.model_dump() for k, graph in graphs.items() if graph.inverse}
    parent = store / name
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    partial.chmod(0o755)
    try:
        both = (graphs["encode"].content, graphs["decode"].content)
        round_trip = measured_round_trip(reference, *both)
        additions = _additions(dataset) | {"round_trip": round_trip.model_dump()}
        contents[bundle.ADDITIONS] = json.dumps(additions, indent=2).encode()
        for file_name, content in contents.items():
            write_atomically(partial / file_name, content)
        files = {file_name: bundle.sha256(partial / file_name) for file_name in contents}
        manifest = _manifest(run, flow, dataset, evaluation)
        manifest |= {"name": name, "files": files, "arithmetic": arithmetic(graphs.values())}
        measured = tolerances(*(graph.errors for graph in graphs.values()))
        manifest |= {"tolerances": measured.model_dump(), "inverse": inverse}
        manifest |= {"self_test": reference.self_test().model_dump()}
        manifest |= {"weights_sha256": bundle.sha256(run.weights)}
        if fidelity is not None:
            manifest |= {"distilled": _distilled(run, fidelity, store)}
        while True:
            version = bundle.next_version(parent)
            manifest["version"] = version
            manifest["checksum"] = bundle.checksum(manifest)
            write_atomically(partial / bundle.MANIFEST, json.dumps(manifest, indent=2).encode())
            try:
                partial.rename(parent / str(version))
            except OSError:
                if not (parent / str(version)).exists():
                    raise
                continue  # another export took this number first
            return parent / str(version), bundle.read_flow(parent / str(version))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _manifest(run: Run, flow: Flow, dataset: Dataset, evaluation: HeldOut) -> dict[str, Any]:
    """All keys of a manifest but name, version, files, tolerances and checksum."""
    bijection = flow.bijection
    integer = dataset.integer
    scores = np.sort(log_prob(flow, dataset.test.rows[None], dataset.test.context))
    return {
        "format_version": FORMAT_VERSION,
        "family": run.file.flow.family,
        "event_shape": list(bijection.event_shape),
        "latent_shape": list(bijection.latent_shape),
        "dtype": "float32",
        "base": flow.base.name,
        "base_parameters": flow.base.describe(),
        "context_shape": None if flow.context_shape is None else list(flow.context_shape),
        "context": [column.model_dump() for column in dataset.context] or None,
        "cost": {"encode": bijection.encode_cost, "decode": bijection.decode_cost},
        # without the whitening matrix, which is in the graphs: a manifest is for people to read
        "preprocessing": [
            step.model_dump(exclude={"matrix"}) for step in run.flow_spec.preprocessing
        ],
        "support": None
        if bijection.support is None
        else dict(zip(("low", "high"), map(per_coordinate, bijection.support), strict=True)),
        "dequantization": {
            "columns": None if integer.all() else np.flatnonzero(integer).tolist(),
            "low": per_coordinate(dataset.low[integer]),
            "high": per_coordinate(dataset.high[integer]),
        }
        if integer.any()
        else None,
        "sound": None if dataset.sound is None else dataset.sound.model_dump(),
        "data": {"name": dataset.name, "sha256": dataset.sha256, "noise": dataset.noise},
        "held_out": evaluation.model_dump(),
        "calibration": {
            "rows": len(scores),
            "levels": CALIBRATION_LEVELS,
            "log_prob": [_finite(q) for q in np.quantile(scores, CALIBRATION_LEVELS)],
        },
        "made_with": {
            **{p: package_version(p) for p in ("bijecta", "torch", "onnx", "onnxscript")},
            "opset": str(OPSET),
            "run": run.file.name,
            "run_sha256": run_sha256(run),
        },
    }


def _additions(dataset: Dataset) -> dict[str, Any]:
    """The keys of a manifest that servers of earlier versions do not know."""
    names = dataset.columns
    are_plain = names is not None and all(map(bundle.is_column_name, names))
    return {"columns": list(names or ()) if are_plain else None}


def _distilled(run: Run, fidelity: Fidelity, store: Path) -> dict[str, Any]:
    """What the manifest of a student states about its teacher, and the newest bundle of that."""
    teacher = run.file.teacher
    assert teacher is not None
    parent = store / teacher.name
    same_weights = [
        v for v in bundle.versions(parent) if _weights(parent / str(v)) == teacher.sha256
    ]
    return {
        "teacher": teacher.name,
        "version": max(same_weights, default=None),
        "sha256": teacher.sha256,
        "fidelity": fidelity.model_dump(),
    }


def _weights(folder: Path) -> str | None:
    """The checksum of the weights of a bundle; None of one that cannot be read."""
    try:
        return bundle.read(folder).weights_sha256
    except bundle.BundleError:
        return None


def _finite(value: float) -> float | None:
    """None, which JSON has, in place of −∞."""
    return float(value) if np.isfinite(value) else None
