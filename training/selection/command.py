"""`bijecta fit`: from a table to a model in a store, without a recipe."""

import math
import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from service.runtime import granted_cpus
from service.tables import DatetimeColumn
from training.config import Recipe, load_recipe
from training.data import TypedDataset, load_rows
from training.errors import RunError
from training.evaluate import TypedHeldOut, evaluate
from training.export import Asked, check_name, check_store, export_table, exported_already
from training.files import write_atomically
from training.fit import Bar, device_named
from training.fit import fit as fit_run
from training.inspection import TABULAR, LookedAt, recipe_of
from training.reporting import print_columns, print_exported, print_score, say, warn
from training.runs import Run, open_or_create, training_lock
from training.selection.candidates import Candidate, candidates_of
from training.selection.side_by_side import SideBySide, can_fork

RECIPE = "recipe.toml"
CHOSEN = "selection.json"

# Share of the minutes for training; the rest is for reading, scoring and exporting.
TRAINING_SHARE = 0.7

# The files of a candidate's run that make it a run of its own.
RUN_FILES = ("run.json", "weights.safetensors", "state.safetensors", "log.jsonl")


WriteRecipe = Callable[[Path, str], Recipe]
"""Writes a recipe of the table with the given sections [flow] and [fit], and reads it."""


class Tried(BaseModel):
    """A candidate that was trained.

    Args:
        name: of the candidate.
        validation: nats per validation row.
        epochs: until training stopped.
        best_epoch: whose weights are kept.
        seconds: of training.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    validation: float
    epochs: int
    best_epoch: int
    seconds: float


class Selection(BaseModel):
    """What was tried, in that order, what the clock cut, and which was chosen."""

    model_config = ConfigDict(frozen=True)

    tried: list[Tried]
    cut: list[str]
    chosen: str


def fit(arguments: Namespace) -> None:
    """Choose a density of a table by its validation score, and export it.

    Raises:
        DataError: the table cannot be read, or none of its columns can be modelled.
        TrainingError: training or export fails, or the run folder is another command's.
    """
    check_name(arguments.name)
    folder: Path = arguments.out or Path("runs") / arguments.name
    if (folder / "run.json").exists() and not (folder / CHOSEN).exists():
        raise RunError(
            f"{folder} holds a run that `bijecta fit` has not made: choose another --out"
        )
    table: LookedAt = arguments.looked_at
    print_columns(table.found)
    for column in table.found.decision.columns:
        if isinstance(column, DatetimeColumn) and "weekday" in column.features:
            say(
                f"column {column.name!r}: its dates count in log_prob, and rows later than those "
                "of the table are unlikely by them (training/README.md says what to do)"
            )

    def recipe(path: Path, model: str) -> Recipe:
        """Write a recipe of the table with these sections, and read it."""
        content = recipe_of(table, path, model)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode())
        return load_recipe(str(path))

    with training_lock(folder):
        # every recipe of the table has the same [data]
        dataset = load_rows(recipe(folder / RECIPE, TABULAR).data, typed=True)
        assert isinstance(dataset, TypedDataset)
        _check_places(folder, arguments, dataset)
        run = _choose(folder, arguments, recipe, dataset)
        score = evaluate(run, dataset)
        assert isinstance(score, TypedHeldOut)
        print_score(run, score)
        store, name = arguments.store, arguments.name
        asked = Asked(values=not arguments.no_values)
        there = None if arguments.next_version else exported_already(run, store, name, asked)
        if there is None:
            print_exported(*export_table(run, dataset, score, store, name, asked.values))
        else:
            say(f"{there} holds these weights already: --next-version exports them once more")
    say(f"{folder / RECIPE}: the recipe, which `bijecta train` repeats")
    say(f"bijecta serve --store {arguments.store}: answers with it")
    say(f"bijecta score {arguments.store / arguments.name} TABLE --out SCORES: scores rows")


def _check_places(folder: Path, arguments: Namespace, dataset: TypedDataset) -> None:
    """Refuse, before anything is trained, what would be refused after it."""
    first = _place(folder, 0)
    if (first / "run.json").exists() and Run.open(first).file.data_sha256 != dataset.sha256:
        raise RunError(
            f"{folder} is of another table, or of this one before it changed: choose another "
            "--name or --out, or remove the folder"
        )
    data = None if arguments.next_version else dataset.sha256
    check_store(arguments.store, arguments.name, data)


def _choose(folder: Path, arguments: Namespace, recipe: WriteRecipe, dataset: TypedDataset) -> Run:
    """Train candidates, and make the run of the one that validates best that of the folder."""
    candidates = candidates_of(len(dataset.train), len(dataset.columns.modelled))
    device = device_named(arguments.device)
    at_once = min(granted_cpus(), len(candidates)) if device.type == "cpu" and can_fork() else 1
    allowed = 60 * arguments.minutes * TRAINING_SHARE
    tried = _try(candidates, at_once, allowed, folder, arguments.name, recipe, dataset, device)
    cut = [candidate.name for candidate in candidates[len(tried) :]]
    if cut:
        seconds = _seconds_with_next([each.seconds for each in tried], at_once)
        minutes = math.ceil(seconds / 60 / TRAINING_SHARE)
        warn(
            f"{len(cut)} candidates are left out for time: {'; '.join(cut)} (the same command with "
            f"--minutes {minutes} tries the next one)"
        )
    best = max(range(len(tried)), key=lambda i: tried[i].validation)
    say(f"chosen: {tried[best].name}")
    recipe(folder / RECIPE, candidates[best].toml)
    for file in RUN_FILES:
        shutil.copyfile(_place(folder, best) / file, folder / file)
    selection = Selection(tried=tried, cut=cut, chosen=tried[best].name)
    write_atomically(folder / CHOSEN, selection.model_dump_json(indent=2).encode())
    return Run.open(folder)


def _try(
    candidates: Sequence[Candidate],
    at_once: int,
    allowed: float,
    folder: Path,
    name: str,
    recipe: WriteRecipe,
    dataset: TypedDataset,
    device: torch.device,
) -> list[Tried]:
    """Train candidates in their order, until the next one would take longer than allowed.

    Args:
        candidates: in their order.
        at_once: how many are trained side by side.
        allowed: seconds of training in all.
        folder: of the command.
        name: of the model.
        recipe: writes their recipes.
        dataset: their data.
        device: where they are trained.
    """
    tried: dict[int, Tried] = {}
    started: dict[int, float] = {}
    with SideBySide(at_once) as trainings:

        def wait() -> None:
            i = trainings.wait()
            tried[i] = _tried(candidates[i].name, _place(folder, i))
            say(f"{tried[i].name}: {tried[i].validation:.3f} nats per validation row")

        for i, candidate in enumerate(candidates):
            if trainings.is_full:
                wait()
            now = time.monotonic()
            seconds = [tried[j].seconds if j in tried else now - started[j] for j in started]
            if tried and _seconds_with_next(seconds, at_once) > allowed:
                break
            say(f"candidate {i + 1} of {len(candidates)}: {candidate.name}")
            place = _place(folder, i)
            run = open_or_create(place, name, recipe(place / RECIPE, candidate.toml), dataset)
            bar = Bar(f"{name}, {candidate.name}", len(started) - len(tried))
            trainings.start(i, partial(fit_run, run, dataset, device, bar=bar))
            started[i] = now
        while len(tried) < len(started):
            wait()
    return [tried[i] for i in started]


def _tried(name: str, place: Path) -> Tried:
    """What has come of a candidate in its run folder."""
    progress = Run.open(place).progress()
    return Tried(
        name=name,
        validation=progress.best_score,
        epochs=progress.epoch,
        best_epoch=progress.best_epoch,
        seconds=progress.seconds,
    )


def _seconds_with_next(seconds: Sequence[float], at_once: int) -> float:
    """Until the end of the next candidate, if it takes as long as the longest so far.

    Args:
        seconds: of training so far, of each candidate.
        at_once: how many are trained side by side.
    """
    return sum(seconds) / at_once + max(seconds)


def _place(folder: Path, candidate: int) -> Path:
    """The run folder of a candidate, by its number from 0."""
    return folder / "candidates" / str(candidate + 1)
