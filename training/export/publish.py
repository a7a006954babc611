"""What manifests of all kinds state in the same way."""

from importlib.metadata import version as package_version
from typing import Any

import numpy as np

from models.flow import Flow
from service import bundle
from training.data import Dataset
from training.detectors import DetectorRun
from training.export.next_version import run_sha256
from training.export.recorded import OPSET
from training.preprocessing import per_coordinate
from training.runs import Run


def of_run(run: Run | DetectorRun) -> dict[str, Any]:
    """What a manifest states about the run that a bundle is of."""
    return {
        "weights_sha256": bundle.sha256(run.weights),
        "made_with": {
            **made_with(),
            "run": run.file.name,
            "run_sha256": run_sha256(run),
        },
    }


def made_with() -> dict[str, str]:
    """The versions of what makes a bundle."""
    versions = {name: package_version(name) for name in ("bijecta", "torch", "onnx")}
    return {**versions, "opset": str(OPSET)}


def of_rows(run: Run, flow: Flow, dataset: Dataset) -> dict[str, Any]:
    """What the manifest of a flow, or of an ensemble of such flows, states about its rows.

    Args:
        run: that the flow is of.
        flow: it.
        dataset: its data.
    """
    bijection = flow.bijection
    integer = dataset.integer
    return {
        "event_shape": list(bijection.event_shape),
        "latent_shape": list(bijection.latent_shape),
        "dtype": "float32",
        "base": flow.base.name,
        "context": [column.model_dump() for column in dataset.context] or None,
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
    }


def column_names(dataset: Dataset) -> list[str] | None:
    """The names of the columns, where all of them may stand in a manifest."""
    names = dataset.columns
    if names is None or not all(map(bundle.is_column_name, names)):
        return None
    return list(names) or None
