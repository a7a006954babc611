"""From a run over a table of columns of any kind to a verified bundle in a store."""

from pathlib import Path
from typing import Any

import numpy as np

from models.columns import TypedColumns
from service import bundle
from service.bundle import TableManifest, raw_values_of
from service.tables import to_values
from training.data import TypedDataset
from training.errors import RunError
from training.evaluate import TypedHeldOut, quantiles_of
from training.export.next_version import check_name
from training.export.publish import of_run
from training.export.typed.verify import verified_graphs
from training.progress import phase
from training.runs import Run
from training.scoring import log_prob


def export_table(
    run: Run,
    dataset: TypedDataset,
    evaluation: TypedHeldOut,
    store: Path,
    name: str,
    values: bool = True,
) -> tuple[Path, TableManifest]:
    """Write the best density of a run as a new version of a bundle.

    Args:
        run: of a density over typed columns.
        dataset: its data; the graphs are verified on its test rows.
        evaluation: the held-out figures for the manifest.
        store: folder of bundles, created if it is missing.
        name: name of the bundle.
        values: whether the bundle has a row of the data, with which a server checks its graphs.

    Returns:
        The folder store/<name>/<version> and the manifest in it.

    Raises:
        ExportError: the name is not allowed, or a graph misses the tolerances.
        RunError: the run has no weights, or they are damaged.
    """
    check_name(name)
    density = run.best_density()
    if not isinstance(density, TypedColumns):
        raise RunError(f"{run.folder} is of family {run.file.flow.family!r}, not of typed columns")
    test, columns = dataset.test, dataset.columns.modelled
    with phase("graphs and their verification"):
        graphs = verified_graphs(density, test.rows, test.context)
    with phase("calibration"):
        scores = log_prob(density.double(), test.rows[None], test.context)
    left_out = dataset.columns.left_out
    if not values:
        left_out = [column.without_values() for column in left_out]
    manifest = _manifest(run, density, dataset, evaluation) | {
        "left_out": [column.model_dump() for column in left_out],
        "raw_values": raw_values_of(columns, values, left_out),
        "calibration": quantiles_of(scores),
        "tolerances": graphs.tolerances.model_dump(),
    }
    if values:
        middle = int(np.argsort(scores)[len(scores) // 2])
        row = to_values(test.rows[middle : middle + 1], columns)
        manifest["self_test"] = {
            "row": [value for (value,) in row.values()],
            "context": None if test.context is None else test.context[middle].tolist(),
            "log_prob": float(scores[middle]),
        }
    files = {bundle.ENCODE: graphs.encode, bundle.DECODE: graphs.decode}
    with phase("writing"):
        folder = bundle.publish(store, name, files, manifest)
    return folder, bundle.read_table(folder)


def _manifest(
    run: Run, density: TypedColumns, dataset: TypedDataset, evaluation: TypedHeldOut
) -> dict[str, Any]:
    """What a manifest states about a density, its data and its scores."""
    row = {"type": "float64", "row_shape": [*density.event_shape]}
    number = {"type": "float64", "row_shape": []}
    context = {}
    if density.context_shape is not None:
        context["context"] = {"type": "float64", "row_shape": [*density.context_shape]}
    independent = evaluation.independent
    return {
        "format_version": 2,
        "kind": "table",
        "family": run.file.flow.family,
        "columns": [column.model_dump() for column in dataset.columns.modelled],
        "context": [column.model_dump() for column in dataset.context] or None,
        "graphs": {
            "encode": {
                "inputs": {"x": row, "u": row, **context},
                "outputs": {"z": row, "log_prob": number},
                "cost": density.encode_cost,
            },
            "decode": {
                "inputs": {"z": row, **context},
                "outputs": {"x": row, "log_prob": number},
                "cost": density.decode_cost,
            },
        },
        "dtype": "float64",
        "arithmetic": "float64",
        "base": density.base.name,
        "data": {"name": dataset.name, "sha256": dataset.sha256},
        "held_out": {
            "log_prob": evaluation.log_prob,
            "se": evaluation.se,
            "rows": evaluation.rows,
            "independent": {"mean": independent.log_prob, "se": independent.se},
            "gain": {"mean": independent.gain, "se": independent.gain_se},
        },
        **of_run(run),
    }
