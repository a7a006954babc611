"""What `bijecta train` and `distill` keep of a run for its export, of few rows.

    python -P tests/benchmarks/exports/keep.py RUN

with the code of the checkout to measure on the path: what is kept, and under which keys, is that
checkout's own. An export copies these figures and computes nothing from them, so that few rows do.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import training.distill.fidelity
from training.data import Dataset
from training.data.dataset import Split
from training.distill import measure_fidelity
from training.evaluate import evaluate, held_out_calibration
from training.runs import Run, dataset_of

# Rows that are scored, and draws that a student is compared with its teacher by.
ROWS = 16


def keep(run: Run) -> None:
    """Score a few rows as training ends with it."""
    whole = dataset_of(run, None)
    few: Dataset = replace(whole, test=_first(whole.test))
    evaluate(run, few)
    held_out_calibration(run, few)
    if run.file.teacher is not None:
        fidelity: Any = training.distill.fidelity
        fidelity.ROWS = fidelity.MIN_ROWS = ROWS
        measure_fidelity(run, few)


def _first(split: Split[Any]) -> Split[Any]:
    context = None if split.context is None else split.context[:ROWS]
    indices = None if split.indices is None else split.indices[:ROWS]
    return Split(split.rows[:ROWS], context, indices)


if __name__ == "__main__":
    torch.set_num_threads(1)  # small operators beside other work take 40 times as long on two
    keep(Run.open(Path(sys.argv[1])))
