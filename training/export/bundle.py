"""From a run to a verified bundle in a store."""

import json
from pathlib import Path
from typing import Any

from models.flow import Flow
from service import bundle
from service.bundle import FORMAT_VERSION, Direction, Fidelity, HeldOut, Manifest
from service.store_folder import version_of_weights
from training.data import Dataset
from training.evaluate import held_out_calibration
from training.export.float64_fallback import arithmetic, verified
from training.export.inverse_search import FASTEST, InverseRequest
from training.export.layers import check_layers, described_layers
from training.export.next_version import check_name
from training.export.publish import column_names, of_rows, of_run
from training.export.reference import Reference
from training.export.round_trip import measured_residual, measured_round_trip
from training.export.sweeps import learned_start
from training.export.verify import tolerances
from training.progress import phase
from training.runs import Run

FILES: dict[Direction, str] = {"encode": bundle.ENCODE, "decode": bundle.DECODE}


def export(
    run: Run,
    dataset: Dataset,
    evaluation: HeldOut,
    store: Path,
    name: str,
    request: InverseRequest = FASTEST,
    fidelity: Fidelity | None = None,
    with_layers: bool = False,
    accept_residual: bool = False,
    student: Run | None = None,
) -> tuple[Path, Manifest]:
    """Write the best flow of a run as a new version of a bundle.

    Args:
        run: the run.
        dataset: its data; the graphs are verified on its test rows.
        evaluation: the held-out figures for the manifest.
        store: folder of bundles, created if it is missing.
        name: name of the bundle.
        request: which inverses of autoregressive layers to choose from.
        fidelity: how close a student is to its teacher, for the manifest.
        with_layers: whether to write the graph of every layer's output too.
        accept_residual: whether a flow from whose latents rows do not come back is exported too.
        student: a run from whose guesses sweeps may start (`sweeps.check_student`).

    Returns:
        The folder store/<name>/<version> and the manifest in it.

    Raises:
        ExportError: the name is not allowed, a graph misses the tolerances both in float32 and in
            float64 arithmetic, held-out rows do not come back from their latents, or a flow with so
            many dimensions has no graph of its layers.
    """
    check_name(name)
    if with_layers:
        check_layers(run)
    flow = run.best_flow()
    with phase("reference in float64"):
        reference = Reference(flow, dataset, with_layers)
    guess = None
    if student is not None:
        with phase("guesses of the student"):
            feed = reference.expected["decode"].feed
            guess = learned_start(flow, run.flow_spec, student, feed)
    graphs = {
        which: verified(which, flow, reference, request, guess if which == "decode" else None)
        for which in FILES
    }
    additions: dict[str, Any] = {"columns": column_names(dataset)}
    served = graphs["encode"].graph, graphs["decode"].graph
    additions["run_cost"] = {
        which: of.graph.run_cost.model_dump() for which, of in graphs.items() if of.graph.run_cost
    }
    additions["sweeps"] = {k: of.sweeps.model_dump() for k, of in graphs.items() if of.sweeps}
    with phase("way back of held-out and of far rows"):
        additions["residual"] = measured_residual(reference, *served, accept_residual).model_dump()
        additions["round_trip"] = measured_round_trip(reference, *served).model_dump()
    additions["measured_rows"] = {"held_out": len(dataset.test)} | {
        which: len(reference.expected[which]) for which in FILES
    }
    files = {FILES[which]: graph.content for which, graph in graphs.items()}
    if with_layers:
        by_layers = verified("layers", flow, reference, request)
        files[bundle.LAYERS] = by_layers.content
        additions["layers"] = described_layers(flow, by_layers)
    files[bundle.ADDITIONS] = json.dumps(additions, indent=2).encode()
    measured = tolerances(*(graph.errors for graph in graphs.values()))
    with phase("calibration"):
        stated = _manifest(run, flow, dataset, evaluation)
    manifest = stated | {
        "arithmetic": arithmetic(graph.number for graph in graphs.values()),
        "tolerances": measured.model_dump(),
        "inverse": {k: graph.inverse.model_dump() for k, graph in graphs.items() if graph.inverse},
        "self_test": reference.self_test().model_dump(),
    }
    if fidelity is not None:
        manifest["distilled"] = _distilled(run, fidelity, store)
    with phase("writing"):
        folder = bundle.publish(store, name, files, manifest)
        return folder, bundle.read_flow(folder)


def _manifest(run: Run, flow: Flow, dataset: Dataset, evaluation: HeldOut) -> dict[str, Any]:
    """What a manifest states about a flow, its data and its scores."""
    bijection = flow.bijection
    return {
        "format_version": FORMAT_VERSION,
        "family": run.file.flow.family,
        **of_rows(run, flow, dataset),
        "base_parameters": flow.base.describe(),
        "context_shape": None if flow.context_shape is None else list(flow.context_shape),
        "cost": {"encode": bijection.encode_cost, "decode": bijection.decode_cost},
        "held_out": evaluation.model_dump(),
        "calibration": held_out_calibration(run, dataset, of_sample=True),
        **of_run(run),
    }


def _distilled(run: Run, fidelity: Fidelity, store: Path) -> dict[str, Any]:
    """What the manifest of a student states about its teacher, and the newest bundle of that."""
    teacher = run.file.teacher
    assert teacher is not None
    return {
        "teacher": teacher.name,
        "version": version_of_weights(store / teacher.name, teacher.sha256),
        "sha256": teacher.sha256,
        "fidelity": fidelity.model_dump(),
    }
