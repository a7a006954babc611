"""Writing bundles into a store, and what manifests of all kinds state in the same way."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service import bundle
from training.export.next_version import run_sha256
from training.export.torch_export import OPSET
from training.files import write_atomically
from training.runs import Run

CALIBRATION_LEVELS = [i / 200 for i in range(201)]


def publish(
    store: Path, name: str, files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> Path:
    """Write files and a manifest as the next version of a bundle; a store never holds half a one.

    Args:
        store: folder of bundles, created if it is missing.
        name: of the bundle.
        files: contents by file name.
        manifest: all its keys but name, version, files and checksum.

    Returns:
        The folder store/<name>/<version>.
    """
    parent = store / name
    parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    partial.chmod(0o755)
    try:
        for file_name, content in files.items():
            write_atomically(partial / file_name, content)
        checksums = {file_name: bundle.sha256(partial / file_name) for file_name in files}
        whole = {**manifest, "name": name, "files": checksums}
        while True:
            version = bundle.next_version(parent)
            whole["version"] = version
            whole["checksum"] = bundle.checksum(whole)
            write_atomically(partial / bundle.MANIFEST, json.dumps(whole, indent=2).encode())
            try:
                partial.rename(parent / str(version))
            except OSError:
                if not (parent / str(version)).exists():
                    raise
                continue  # another export took this number first
            return parent / str(version)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def of_run(run: Run) -> dict[str, Any]:
    """What a manifest states about the run that a bundle is of."""
    return {
        "weights_sha256": bundle.sha256(run.weights),
        "made_with": {
            **{p: package_version(p) for p in ("bijecta", "torch", "onnx", "onnxscript")},
            "opset": str(OPSET),
            "run": run.file.name,
            "run_sha256": run_sha256(run),
        },
    }


def calibration(scores: NDArray[np.float64]) -> dict[str, Any]:
    """The quantiles of log_prob of held-out rows, from which a server computes p-values."""
    return {
        "rows": len(scores),
        "levels": CALIBRATION_LEVELS,
        "log_prob": [_finite(q) for q in np.quantile(scores, CALIBRATION_LEVELS)],
    }


def _finite(value: float) -> float | None:
    """None, which JSON has, in place of −∞."""
    return float(value) if np.isfinite(value) else None
