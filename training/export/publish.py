"""What manifests of all kinds state in the same way."""

from importlib.metadata import version as package_version
from typing import Any

from service import bundle
from training.detectors import DetectorRun
from training.export.next_version import run_sha256
from training.export.recorded import OPSET
from training.runs import Run


def of_run(run: Run | DetectorRun) -> dict[str, Any]:
    """What a manifest states about the run that a bundle is of."""
    return {
        "weights_sha256": bundle.sha256(run.weights),
        "made_with": {
            **{p: package_version(p) for p in ("bijecta", "torch", "onnx")},
            "opset": str(OPSET),
            "run": run.file.name,
            "run_sha256": run_sha256(run),
        },
    }
