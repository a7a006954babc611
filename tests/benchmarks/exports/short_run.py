"""A run of a recipe with the weights of a few steps: its whole architecture, data and options.

    python -m tests.benchmarks.exports.short_run RECIPE FOLDER DATA

writes FOLDER/RECIPE, where it is not there yet, and of a student's recipe its teacher's run first.
Such a flow has what makes an export hard: of six that were tried, the decode of four missed its
bars in float32. Rows of what is computed here are few, the flow is the recipe's.
"""

import copy
import math
import sys
from pathlib import Path

import torch

from models.flow import Flow
from models.zoo import FAMILIES
from tests.benchmarks.exports.recipes import RECIPES, Entry
from training.config import load_recipe, load_student
from training.data import Dataset, load_rows
from training.fit.fixed_steps import gaussianize_rows
from training.runs import Run, dataset_of, open_or_create

STEPS, LEARNING_RATE = 12, 1e-3
# Rows of a step and of the initial values; of long rows fewer, of so many values in all.
ROWS, STEP_VALUES = 16, 2**15
INITIAL_ROWS, INITIAL_VALUES = 256, 2**18
# Rows that the steps of iterative Gaussianization, which have no gradients, are fitted to.
FITTED_ROWS = 2000
# Deviation of what is added to a student's weights, in times of theirs.
PUSH = 0.1
# What decoding may make of a rounding of float64 in a latent, relative to the largest value: where
# it makes as much of it as values are large, no arithmetic decodes, and no export may be written.
ROUNDING, MAX_DIFFERENCE = 1e-14, 1e-6


def short_run(entry: Entry, folder: Path, data: Path) -> Run:
    """The run of a recipe; one that is there stays.

    Args:
        entry: the recipe.
        folder: of the runs.
        data: folder of the data sets.
    """
    name, path = entry.name, folder / entry.name
    if (path / "weights.safetensors").exists():
        return Run.open(path)
    if entry.teacher is None:
        recipe = load_recipe(name, None if entry.data_set is None else data / entry.data_set)
        dataset = load_rows(recipe.data, False)
        assert isinstance(dataset, Dataset)
        run = open_or_create(path, name, recipe, dataset)
        flow = run.new_flow().eval()
        if FAMILIES[recipe.flow.family].without_gradients:
            _gaussianize(flow, dataset, run)
        else:
            _learn(flow, dataset, recipe.fit.seed)
    else:
        teacher = short_run(Entry.of(RECIPES / f"{entry.teacher}.toml"), folder, data)
        recipe = load_student(name, teacher.file.recipe)
        run = open_or_create(path, name, recipe, dataset_of(teacher, None), teacher)
        flow = run.new_flow().eval()
        _push(flow, recipe.fit.seed)
    run.save_best(flow.state_dict())
    return run


def _learn(flow: Flow, dataset: Dataset, seed: int) -> None:
    """Make a few steps of maximum likelihood, smaller ones if the flow then cannot be decoded."""
    size = math.prod(dataset.event_shape)
    flow.initialize_from_data(*_batch(dataset, min(INITIAL_ROWS, INITIAL_VALUES // size), seed))
    first = [values.detach().clone() for values in flow.parameters()]
    flow.train()
    optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        batch = _batch(dataset, min(ROWS, STEP_VALUES // size), seed + 1 + step)
        (-flow.log_prob(*batch).mean()).backward()
        optimizer.step()
    while not _decodes(flow, dataset):
        with torch.no_grad():
            for values, before in zip(flow.parameters(), first, strict=True):
                values.lerp_(before, 0.5)


def _decodes(flow: Flow, dataset: Dataset) -> bool:
    """Whether a decode in float64 hardly changes by a rounding of its latents."""
    exact = copy.deepcopy(flow).double().eval()
    z = torch.randn(2, *flow.latent_shape, generator=torch.Generator().manual_seed(0)).double()
    context = [] if flow.context_shape is None else _batch(dataset, 2, 0)[1:]
    with torch.no_grad():
        x, _ = exact.decode(z, *(each.double() for each in context))
        moved, _ = exact.decode(z * (1 + ROUNDING), *(each.double() for each in context))
    return bool((moved - x).abs().max() <= MAX_DIFFERENCE * x.abs().max())


def _gaussianize(flow: Flow, dataset: Dataset, run: Run) -> None:
    """Fit all steps that the recipe allows, to few rows."""
    options, seed = run.flow_spec.options, run.file.recipe.fit.seed
    with torch.no_grad():
        rows, _ = flow.encode(*_batch(dataset, FITTED_ROWS, seed))  # there are no steps yet
    gaussianize_rows(flow, rows, None, options["transforms"], options["rotation"], seed)


def _push(flow: Flow, seed: int) -> None:
    """Move all weights at random: steps would want thousands of the teacher's draws."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for values in flow.parameters():
            values.add_(PUSH * values.std(correction=0) * torch.randn_like(values))


def _batch(dataset: Dataset, count: int, seed: int) -> list[torch.Tensor]:
    """Noisy training rows, and their context if they have one."""
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(len(dataset.train), (count,), generator=generator).numpy()
    inputs = [dataset.noisy(dataset.train.rows[index], 1, seed)[0]]
    if dataset.train.context is not None:
        inputs.append(dataset.train.context[index])
    return [torch.from_numpy(each) for each in inputs]


if __name__ == "__main__":
    torch.set_num_threads(1)  # small operators beside other work take 40 times as long on two
    short_run(Entry.of(RECIPES / f"{sys.argv[1]}.toml"), Path(sys.argv[2]), Path(sys.argv[3]))
