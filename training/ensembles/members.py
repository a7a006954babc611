"""The runs of an ensemble: flows of the same rows, of the same data."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from models.flow import Flow
from service.bundle import BASES, MAX_MEMBERS, sha256
from training.config import FILES, FlowSpec
from training.errors import RunError
from training.runs import Run

# Of [data], what says how rows are trained on, and not what they are.
OF_TRAINING = {"augment", "train_rows"}


def open_members(folders: Sequence[Path]) -> list[Run]:
    """Open the runs of an ensemble.

    Raises:
        RunError: a run is missing or unfinished, there are too few or too many, one is there twice,
            one is of typed columns, or two are not of the same rows: it names both and says what
            differs.
    """
    if len(folders) < 2:
        raise RunError(
            f"an ensemble is of at least two runs, and {folders[0]} is one: `bijecta export` makes "
            "its bundle"
        )
    if len(folders) > MAX_MEMBERS:
        raise RunError(f"an ensemble is of at most {MAX_MEMBERS} runs, got {len(folders)}")
    runs = [Run.open(folder) for folder in folders]
    for run in runs:
        run.check_weights()
        if not isinstance(run.file.flow, FlowSpec):
            raise RunError(
                f"{run.folder} is of family {run.file.flow.family!r}: ensembles are of flows of "
                "numbers"
            )
    for one, other in combinations(runs, 2):
        if one.folder.resolve() == other.folder.resolve():
            raise RunError(f"{one.folder} and {other.folder} are the same run")
        if sha256(one.weights) == sha256(other.weights):
            raise RunError(f"{one.folder} and {other.folder} have the same weights")
    for other in runs[1:]:
        if (what := _difference_of_files(runs[0], other)) is not None:
            raise _apart(runs[0], other, what)
    return runs


def fitting_flows(runs: Sequence[Run]) -> list[Flow]:
    """The flows of runs, which `open_members` has opened, with their best weights.

    Raises:
        RunError: weights are damaged, or two flows have latents or a support of different kinds.
    """
    flows = [run.best_flow() for run in runs]
    for other, flow in zip(runs[1:], flows[1:], strict=True):
        if (what := _difference_of_flows(flows[0], flow)) is not None:
            raise _apart(runs[0], other, what)
    return flows


def _apart(one: Run, other: Run, what: str) -> RunError:
    return RunError(f"{one.folder} and {other.folder} make no ensemble: {what}")


def _difference_of_files(one: Run, other: Run) -> str | None:
    """What keeps two runs from being of the same rows, as their run.json say; None for nothing."""
    a, b = one.file, other.file
    if a.data_sha256 != b.data_sha256:
        return (
            f"their data differ: {a.recipe.data.source} has sha256 {a.data_sha256}, "
            f"{b.recipe.data.source} has {b.data_sha256}"
        )
    keys, others = _said_of_rows(one), _said_of_rows(other)
    for key in sorted(keys.keys() | others.keys()):
        if keys.get(key) != others.get(key):
            return f"{key}, in [data], is {keys.get(key)!r} and {others.get(key)!r}"
    spec, its = one.flow_spec, other.flow_spec
    if spec.event_shape != its.event_shape:
        return f"their rows have shapes {spec.event_shape} and {its.event_shape}"
    steps, its_steps = ([step.kind for step in each.preprocessing] for each in (spec, its))
    if steps != its_steps:
        said = " and ".join(", ".join(each) or "none" for each in (steps, its_steps))
        return f"their preprocessing differs: {said}"
    columns, its_columns = (each.context and each.context.columns for each in (spec, its))
    if columns != its_columns:
        return "they are conditioned on different columns, or on other statistics of these"
    return None


def _said_of_rows(run: Run) -> dict[str, Any]:
    """The keys of [data] that say what rows are; where files lie is no matter, given a checksum."""
    said: dict[str, Any] = run.file.recipe.data.model_dump(exclude=OF_TRAINING)
    return {k: v for k, v in said.items() if not (k in FILES and isinstance(v, str))}


def _difference_of_flows(one: Flow, other: Flow) -> str | None:
    """What keeps two flows from being members of one mixture; None for nothing."""
    base, its = one.base, other.base
    if base.name != its.name:
        return f"their bases are {base.name} and {its.name}"
    if not BASES[base.name].is_learned and base.describe() != its.describe():
        return f"their {base.name} bases have parameters {base.describe()} and {its.describe()}"
    if one.latent_shape != other.latent_shape:
        return f"their latents have shapes {one.latent_shape} and {other.latent_shape}"
    support, its_support = one.bijection.support, other.bijection.support
    if (support is None) != (its_support is None):
        return "one of them has a bounded support, and the other has not"
    if support is not None and its_support is not None:
        pairs = zip(support, its_support, strict=True)
        if not all(torch.equal(edge, its_edge) for edge, its_edge in pairs):
            return "their supports differ, as their preprocessing was fitted to other rows"
    return None
