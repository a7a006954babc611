"""`bijecta ensemble`: from several runs of the same data to one bundle of their mixture."""

from argparse import Namespace
from collections.abc import Sequence
from math import isclose

import numpy as np

from training.ensembles.members import fitting_flows, open_members
from training.ensembles.scores import EnsembleScores, evaluate_ensemble, most_likely_weights
from training.errors import TrainingError
from training.export import (
    Asked,
    Ensemble,
    check_store,
    ensemble_exported_already,
    export_ensemble,
    inverse_request,
)
from training.progress import phase
from training.reporting import print_exported, say, warn
from training.runs import Run, dataset_of

# A member with a smaller part of the weight, as a part of an equal one, costs more than it gives.
LITTLE_WEIGHT = 0.01


def ensemble(arguments: Namespace) -> None:
    """Weigh several runs, score their mixture and write it as one bundle.

    Raises:
        TrainingError: the runs make no ensemble, or the bundle cannot be written.
    """
    runs = open_members(arguments.runs)
    weighting, given = arguments.weights
    if given is not None and len(given) != len(runs):
        raise TrainingError(f"--weights: {len(given)} came for {len(runs)} runs")
    total = sum(given or [1.0])
    if given is not None:
        given = [weight / total for weight in given]
    request = inverse_request(arguments.inverse, arguments.tolerance)
    name = arguments.name or f"{runs[0].file.name}-ensemble"
    check_store(arguments.store, name, None)
    if not arguments.next_version:
        asked = Asked(request, weighting=weighting, weights=given)
        there = ensemble_exported_already(runs, arguments.store, name, asked)
        if there is not None:
            say(f"{there} holds this ensemble already: --next-version exports it once more")
            return
    flows = fitting_flows(runs)
    if not isclose(total, 1):
        say(f"{name}: the weights are divided by their sum, {total:g}")
    with phase("data"):
        dataset = dataset_of(runs[0], arguments.data)
    fit = runs[0].file.recipe.fit
    weights = np.full(len(runs), 1 / len(runs)) if given is None else np.array(given)
    mixture = Ensemble(runs, flows, dataset, weights.tolist(), weighting)
    if weighting == "fitted":
        with phase("weights"):
            weights, gain = most_likely_weights(flows, dataset, fit, mixture.flops)
        mixture = Ensemble(runs, flows, dataset, weights.tolist(), weighting)
        say(
            f"{name}: weights fitted to validation rows, {gain.mean:.4f} ± {gain.se:.4f} nats per "
            "row better there than equal ones"
        )
    with phase("evaluation"):
        scores = evaluate_ensemble(mixture, fit)
    _print_scores(name, runs, mixture.weights, scores)
    folder, manifest = export_ensemble(
        mixture,
        scores.held_out,
        scores.members,
        scores.calibration,
        arguments.store,
        name,
        request,
        arguments.accept_residual,
    )
    print_exported(folder, manifest)


def _print_scores(
    name: str, runs: Sequence[Run], weights: Sequence[float], scores: EnsembleScores
) -> None:
    held_out = scores.held_out
    for run, weight, figure in zip(runs, weights, scores.members, strict=True):
        say(f"{run.folder}: weight {weight:.4f}, {figure.mean:.3f} ± {figure.se:.3f} nats per row")
        if weight < LITTLE_WEIGHT / len(runs):
            warn(f"{run.folder}: its weight is {weight:.2g}: it costs a run, and gives nothing")
    bits = ""
    if held_out.bits_per_dim is not None:
        bits = f", {held_out.bits_per_dim:.3f} ± {held_out.bits_per_dim_se:.3f} bits/dim"
    gain, best = held_out.gain, runs[held_out.best].folder
    compared = f"{abs(gain.mean):.3f} ± {gain.se:.3f} {'less' if gain.mean < 0 else 'more'}"
    say(
        f"{name}: {held_out.log_prob:.3f} ± {held_out.se:.3f} nats per row{bits} on "
        f"{held_out.rows} held-out rows, {compared} than its best member, {best}"
    )
    if gain.mean < 0:
        warn(f"{name}: {best} scores better alone")
