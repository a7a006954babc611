"""One cell of the table of families: a family trained on one source, exported and measured.

    python -m tests.benchmarks.families.job FOLDER TITLE SOURCE

Runs in a process of its own; what it measured goes to FOLDER/<slug>/measured.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.bundle import files as bundle
from tests.benchmarks.families import measure
from tests.benchmarks.families.entries import ENTRIES
from tests.benchmarks.families.trained import slug, train
from tests.benchmarks.zuko.flows import zuko_run
from tests.benchmarks.zuko.maf import over_seeds_and_rows
from training.data.dataset import Dataset
from training.export.bundle import export
from training.fit.gradient import fit
from training.runs.run import Run, RunFile
from training.scoring import log_prob

ROWS = 256

# What two flows differ by is less than what one differs by from seed to seed.
SEEDS = range(3)


def measure_cell(folder: Path, title: str, source: str) -> dict[str, Any]:
    """Train, export and measure one family on one source."""
    name = slug(title, source)
    run, dataset, progress, held_out = train(folder, name, ENTRIES[title], source)
    path, manifest = export(run, dataset, held_out, folder / "store", name)
    start, trained = run.new_flow(), run.best_flow()
    start.initialize_from_data(
        torch.from_numpy(dataset.noisy(dataset.train.rows[:256], 1, seed=0)[0])
    )
    shape = trained.bijection.latent_shape
    x = torch.from_numpy(dataset.noisy(dataset.test.rows, 1, seed=0)[0][:ROWS])
    noise = trained.base.sample(ROWS, torch.Generator().manual_seed(0))
    cell: dict[str, Any] = {
        "title": title,
        "source": source,
        "parameters": sum(p.numel() for p in trained.parameters()),
        "cost": manifest.cost,
        "seconds": progress.seconds,
        "held_out": held_out.model_dump(),
        "start": measure.errors(start, x, noise),
        "trained": measure.errors(trained, x, noise),
        "onnx": manifest.tolerances.model_dump(),
        "arithmetic": manifest.arithmetic,
        "encode": measure.graph(path / bundle.ENCODE, trained.bijection.event_shape),
        "decode": measure.graph(path / bundle.DECODE, shape),
    }
    if shape == (2,):
        many = trained.base.sample(200_000, torch.Generator().manual_seed(1)).numpy()
        cell |= measure.integral(path / bundle.ENCODE, path / bundle.DECODE, many)
    if (kind := ENTRIES[title].zuko) is not None:
        cell["zuko"] = _beside_zuko(kind, run, dataset)
    return cell


def _beside_zuko(kind: str, run: Run, dataset: Dataset) -> dict[str, float]:
    """Train zuko's flow of the same size on the same rows: its score, and ours minus it.

    Both are trained from several seeds; the standard error is that of the mean over them and over
    the rows.
    """
    noisy = dataset.noisy(dataset.test.rows, 1, seed=1)
    theirs, gaps = [], []
    for seed in SEEDS:
        fitting = run.file.recipe.fit.model_copy(update={"seed": seed})
        chosen = run.file.recipe.model_copy(update={"fit": fitting})
        file: RunFile = run.file.model_copy(update={"recipe": chosen})
        scores = []
        for made, name in ((Run, "ours"), (zuko_run(kind), "zuko")):
            one = made.create(run.folder / f"{name}-{seed}", file)
            fit(one, dataset, torch.device("cpu"))
            scores.append(log_prob(one.best_flow(), noisy))
        theirs.append(scores[1])
        gaps.append(scores[0] - scores[1])
    ahead, se = over_seeds_and_rows(gaps)
    return {
        "log_prob": float(np.mean(theirs)),
        "ahead": ahead,
        "se": se,
        "parameters": sum(p.numel() for p in one.new_flow().parameters()),
    }


def main() -> int:
    folder, title, source = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    cell = measure_cell(folder, title, source)
    path = folder / slug(title, source) / "measured.json"
    path.write_text(json.dumps(cell, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
