"""Held-out rows of a run beside draws of its model (`training.coverage`)."""

from collections.abc import Sequence

import numpy as np
import torch

from training.coverage import (
    DRAWS_OF_EACH,
    MOST_ROWS,
    MOST_ROWS_WITH_CONTEXT,
    SHARED_DRAWS,
    Coverage,
    coverage_of,
)
from training.data import AnyDataset, TypedDataset
from training.errors import NonFiniteError
from training.files import write_atomically
from training.runs import Run
from training.scoring import rows_at_once

COVERAGE = "coverage.json"
"""In the folder of a run: what `measure_coverage` has found."""


def measure_coverage(run: Run, dataset: AnyDataset) -> Coverage:
    """Measure the coverage of a run's best weights and write it to the run folder.

    Args and errors are those of `coverage_of_run`.
    """
    coverage = coverage_of_run(run, dataset)
    write_atomically(run.folder / COVERAGE, coverage.model_dump_json(indent=2).encode())
    return coverage


def coverage_of_run(run: Run, dataset: AnyDataset) -> Coverage:
    """The coverage of a run's best weights: the same whenever it is measured.

    Rows, draws and points follow from the seed of the run's recipe.

    Args:
        run: the run.
        dataset: its data, whose test rows are ranked, `MOST_ROWS` of them at most.

    Raises:
        NonFiniteError: a draw is not a number.
    """
    seed, test = run.file.recipe.fit.seed, dataset.test
    rng = np.random.default_rng(seed)
    most = MOST_ROWS if test.context is None else MOST_ROWS_WITH_CONTEXT
    chosen = np.sort(rng.permutation(len(test))[:most])
    rows = dataset.noisy(test.rows[chosen], 1, seed + 1)[0].reshape(len(chosen), -1)
    density, is_typed = run.best_density().eval(), isinstance(dataset, TypedDataset)
    contexts = None if test.context is None else test.context[chosen].repeat(DRAWS_OF_EACH, 0)
    count = SHARED_DRAWS if contexts is None else len(contexts)
    generator = torch.Generator().manual_seed(seed)
    at_once, parts = rows_at_once(density.event_shape, density.decode_cost), []
    for first in range(0, count, at_once):
        given = None if contexts is None else torch.from_numpy(contexts[first : first + at_once])
        with torch.no_grad():
            drawn, _ = density.sample(min(at_once, count - first), given, generator)
        parts.append(drawn.double().flatten(1).numpy())
    draws = np.concatenate(parts)
    if not is_typed and np.isnan(draws).any():  # of typed columns a missing value
        raise NonFiniteError(f"{run.folder}: {int(np.isnan(draws).any(1).sum())} draws are NaN")
    if contexts is not None:
        draws = draws.reshape(len(chosen), DRAWS_OF_EACH, -1)
    return coverage_of(rows.astype(np.float64), draws, _names(dataset), not is_typed, seed)


def _names(dataset: AnyDataset) -> list[str]:
    """Names of the coordinates of a row, made up where they have none."""
    if isinstance(dataset, TypedDataset):
        return [column.name for column in dataset.columns.modelled]
    names: Sequence[str] | None = getattr(dataset, "columns", None)
    return list(names or [f"x{i}" for i in range(dataset.test.rows[0].size)])
