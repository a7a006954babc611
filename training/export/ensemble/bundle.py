"""From several runs of the same data to a verified bundle of their mixture in a store."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.flow import Flow
from service import bundle
from service.bundle import (
    Direction,
    EnsembleHeldOut,
    EnsembleManifest,
    Figure,
    InverseReport,
    Number,
    RoundTrip,
    Sweeps,
    Weighting,
)
from training.data import Dataset
from training.export.ensemble.graphs import (
    MixtureShapes,
    decode_graph,
    described_graphs,
    encode_graph,
)
from training.export.ensemble.verify import Graphs, MixtureReference, verify_ensemble
from training.export.float64_fallback import arithmetic, verified
from training.export.inverse_search import InverseRequest
from training.export.next_version import check_name, run_sha256
from training.export.publish import column_names, made_with, of_rows
from training.export.reference import Reference
from training.export.round_trip import measured_round_trip, residual_of
from training.export.served_graph import ServedGraph
from training.export.verify import tolerances
from training.preprocessing import per_coordinate
from training.progress import phase
from training.runs import Run
from training.scoring import row_flops

DIRECTIONS: tuple[Direction, ...] = ("encode", "decode")


@dataclass(frozen=True)
class Ensemble:
    """Flows of the same rows, and their weights.

    Args:
        runs, flows: of the members; each flow has the best weights of its run.
        dataset: the data of all of them.
        weights: of the members, one together.
        weighting: where these are from.
    """

    runs: Sequence[Run]
    flows: Sequence[Flow]
    dataset: Dataset
    weights: Sequence[float]
    weighting: Weighting

    @property
    def flops(self) -> int:
        """Floating-point operations of the encoding of a row by all members, about."""
        return sum(row_flops(flow) or 0 for flow in self.flows)


class _Part(NamedTuple):
    """A member's graphs as ONNX files, and what was measured of them."""

    files: dict[Direction, bytes]
    numbers: set[Number]
    inverse: dict[Direction, InverseReport]
    sweeps: dict[Direction, Sweeps]
    round_trip: RoundTrip
    reference: Reference


def export_ensemble(
    ensemble: Ensemble,
    held_out: EnsembleHeldOut,
    members_held_out: Sequence[Figure],
    calibration: dict[str, Any],
    store: Path,
    name: str,
    request: InverseRequest,
    accept_residual: bool = False,
) -> tuple[Path, EnsembleManifest]:
    """Write the mixture of several runs as a new version of a bundle.

    Args:
        ensemble: it; the graphs are verified on the test rows of its data.
        held_out, members_held_out: figures of the mixture and of each member, for the manifest.
        calibration: quantiles of log_prob of held-out rows, as clients send them.
        store: folder of bundles, created if it is missing.
        name: name of the bundle.
        request: which inverses of masked layers to choose from.
        accept_residual: whether flows from whose latents rows do not come back are exported too.

    Returns:
        The folder store/<name>/<version> and the manifest in it.

    Raises:
        ExportError: the name is not allowed, a graph misses the tolerances both in float32 and in
            float64 arithmetic, or held-out rows do not come back from their latents.
    """
    check_name(name)
    parts = [
        _part(run, flow, ensemble.dataset, request)
        for run, flow in zip(ensemble.runs, ensemble.flows, strict=True)
    ]
    with phase("mixture in float64"):
        references = [part.reference for part in parts]
        reference = MixtureReference(references, ensemble.weights, ensemble.flops)
    with phase("graphs of the mixture"):
        files = _graphs(ensemble, parts)
        graphs = Graphs(*(ServedGraph(files[f"{which}.onnx"]) for which in DIRECTIONS))
        graphs.encode.measure(files[bundle.ENCODE], reference.rows)
        graphs.decode.measure(files[bundle.DECODE], reference.latents)
    with phase("verification of the mixture"):
        errors = verify_ensemble(graphs, reference)
    with phase("way back of held-out rows"):
        residual = _residual(graphs, reference, accept_residual)
    manifest = _manifest(ensemble, parts, members_held_out) | {
        "held_out": held_out.model_dump(),
        "calibration": calibration,
        "tolerances": tolerances(*errors).model_dump(),
        "round_trip": _together([part.round_trip for part in parts], ensemble.weights).model_dump(),
        "residual": residual.model_dump(),
        "run_cost": {
            which: graph.run_cost.model_dump()
            for which, graph in zip(DIRECTIONS, graphs, strict=True)
            if graph.run_cost
        },
        "self_test": reference.self_test().model_dump(),
    }
    with phase("writing"):
        folder = bundle.publish(store, name, files, manifest)
        written = bundle.read(folder)
    assert isinstance(written, EnsembleManifest)
    return folder, written


def _part(run: Run, flow: Flow, dataset: Dataset, request: InverseRequest) -> _Part:
    """The graphs of a member, each verified as those of its own bundle would be."""
    name = run.file.name
    with phase(f"{name}: reference in float64"):
        reference = Reference(flow, dataset)
    with phase(f"{name}: graphs"):
        graphs = {which: verified(which, flow, reference, request) for which in DIRECTIONS}
    with phase(f"{name}: way back of far rows"):
        round_trip = measured_round_trip(reference, graphs["encode"].graph, graphs["decode"].graph)
    # without the graphs themselves, which hold the weights in memory
    return _Part(
        {which: graph.content for which, graph in graphs.items()},
        {graph.number for graph in graphs.values()},
        {which: graph.inverse for which, graph in graphs.items() if graph.inverse},
        {which: graph.sweeps for which, graph in graphs.items() if graph.sweeps},
        round_trip,
        reference,
    )


def _graphs(ensemble: Ensemble, parts: Sequence[_Part]) -> dict[str, bytes]:
    """The ONNX files of the mixture."""
    bijection = ensemble.flows[0].bijection
    shapes = MixtureShapes(
        weights=ensemble.weights,
        event_shape=bijection.event_shape,
        latent_shape=bijection.latent_shape,
        context_columns=len(ensemble.dataset.context),
    )
    encoders = [part.files["encode"] for part in parts]
    return {
        bundle.ENCODE: encode_graph(encoders, shapes),
        bundle.DECODE: decode_graph([part.files["decode"] for part in parts], encoders, shapes),
    }


def _residual(graphs: Graphs, reference: MixtureReference, accept: bool) -> bundle.Residual:
    """How well held-out rows come back, each by the member that is most responsible for it."""
    with np.errstate(all="ignore"):
        z, _, member, *_ = graphs.encode.answers(reference.rows)
        context = {k: v for k, v in reference.rows.items() if k == "context"}
        back, _ = graphs.decode.answers({"z": z, "member": member, **context})
    return residual_of(reference.rows["x"], back, accept)


def _together(bounds: Sequence[RoundTrip], weights: Sequence[float]) -> RoundTrip:
    """Bounds beyond which rows were seen not to come back from the member responsible for them.

    A member k that is most responsible for a row has at least one part in K of its density: if
    log p_k(x) is below the member's bound b_k, log p(x) is below b_k + log w_k + log K.
    """
    k = len(bounds)
    log_prob = [
        each.log_prob + math.log(weight * k)
        for each, weight in zip(bounds, weights, strict=True)
        if each.log_prob is not None and weight > 0
    ]
    scales = np.broadcast_arrays(*(np.asarray(each.scale) for each in bounds))
    return RoundTrip(
        tolerance=max(each.tolerance for each in bounds),
        z=min(each.z for each in bounds),
        log_prob=max(log_prob, default=None),
        scale=per_coordinate(np.maximum.reduce(scales)),
        rows=sum(each.rows for each in bounds),
        inexact=sum(each.inexact for each in bounds),
        unflagged=sum(each.unflagged for each in bounds),
    )


def _manifest(
    ensemble: Ensemble, parts: Sequence[_Part], members_held_out: Sequence[Figure]
) -> dict[str, Any]:
    """What a manifest states about an ensemble, its members and its data."""
    runs, flows, dataset = ensemble.runs, ensemble.flows, ensemble.dataset
    stated = of_rows(runs[0], flows[0], dataset)
    is_learned = bundle.BASES[flows[0].base.name].is_learned
    numbers = set[Number]().union(*(part.numbers for part in parts))
    members: list[dict[str, Any]] = [
        {
            "run": run.file.name,
            "weight": weight,
            "family": run.file.flow.family,
            "base_parameters": flow.base.describe() if is_learned else {},
            "arithmetic": arithmetic(part.numbers),
            "largest_z": part.round_trip.z,
            "inverse": {which: each.model_dump() for which, each in part.inverse.items()},
            "sweeps": {which: each.model_dump() for which, each in part.sweeps.items()},
            "held_out": figure.model_dump(),
            "run_sha256": run_sha256(run),
            "weights_sha256": bundle.sha256(run.weights),
        }
        for run, flow, weight, part, figure in zip(
            runs, flows, ensemble.weights, parts, members_held_out, strict=True
        )
    ]
    has_classes = any(column.classes for column in dataset.context)
    return {
        "format_version": bundle.TYPED_FORMAT,
        "kind": "ensemble",
        "family": "ensemble",
        **stated,
        "base_parameters": {} if is_learned else flows[0].base.describe(),
        "columns": column_names(dataset),
        "graphs": described_graphs(len(members), stated, flows),
        "arithmetic": arithmetic(numbers),
        "raw_values": ["classes"] * has_classes + ["ranges", "self_test"],
        "members": members,
        "weighting": ensemble.weighting,
        "weights_sha256": _joined([member["weights_sha256"] for member in members]),
        "made_with": {
            **made_with(),
            "run": ", ".join(run.file.name for run in runs),
            "run_sha256": _joined([member["run_sha256"] for member in members]),
        },
    }


def _joined(checksums: Sequence[str]) -> str:
    """One checksum of several, in their order."""
    return hashlib.sha256("".join(checksums).encode()).hexdigest()
