"""Held-out likelihood of our `digits-maf` recipe against zuko 1.6's MAF, trained side by side.

Four flows are fitted to scikit-learn's digits: (a) the recipe as it is, (b) zuko's MAF of the same
depth, widths and dropout (which it has no option for, and takes hidden in its activation), and
both without dropout, (c) and (d). All go through `training.fit.fit` on the same rows behind the
same fixed preprocessing, so that dequantisation, optimiser, batches, clipping and early stopping
are shared by construction; each keeps its own library's initial weights, masks and bound on the
scale.

Every test row is scored in nats, averaged over its noisy copies, for three seeds of the fit. A ±
is a standard error over test rows; that of a difference is of the per-row differences to zuko's
flow with the same dropout.
"mean" averages each row over the seeds first: its ± does not hold the spread between seeds.
Seconds are those of training alone, and depend on what else the machine does.

    pip install zuko==1.6.0
    python -m tests.benchmarks.zuko.maf

It takes some minutes, prints a table, writes `results/zuko_maf.json` beside this file, and exits
with 1 where (a) is worse than (b), on the mean over seeds, by more than one standard error of the
paired difference.
"""

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.zuko.flows import zuko_run
from training.config import recipe
from training.config.flow import FlowRecipe
from training.config.recipe import Recipe
from training.data import load as data
from training.data.dataset import Dataset
from training.fit.gradient import fit
from training.preprocessing import flow_spec
from training.runs.run import Run, RunFile
from training.scoring import log_prob

RECIPE = "digits-maf"
SEEDS = [0, 1, 2]
RESULT = RESULTS / "zuko_maf.json"
TITLES = {
    "ours": f"(a) Bijecta `{RECIPE}`",
    "zuko": "(b) zuko `MAF`, the same dropout",
    "ours_dry": "(c) Bijecta, dropout 0",
    "zuko_dry": "(d) zuko `MAF`, dropout 0",
}
PEER = {"ours": "zuko", "ours_dry": "zuko_dry"}


@dataclass(frozen=True)
class Fitted:
    """A trained flow's score of each test row, and what the training took."""

    scores: NDArray[np.float64]
    seconds: float
    epochs: float
    parameters: int


def train(kind: type[Run], name: str, chosen: Recipe, dataset: Dataset) -> Fitted:
    """Fit one flow in a temporary run folder, and score its best weights."""
    flow = flow_spec(dataset, chosen.flow)
    file = RunFile(name=name, recipe=chosen, flow=flow, data_sha256=dataset.sha256)
    noisy = dataset.noisy(dataset.test.rows, chosen.fit.noise_copies, chosen.fit.seed + 1)
    with tempfile.TemporaryDirectory() as folder:
        run = kind.create(Path(folder), file)
        progress = fit(run, dataset, torch.device("cpu"))
        best = run.best_flow()
    parameters = sum(p.numel() for p in best.parameters())
    return Fitted(log_prob(best, noisy), progress.seconds, progress.epoch, parameters)


def mean_and_se(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean": round(float(values.mean()), 4),
        "se": round(float(values.std(ddof=1) / math.sqrt(len(values))), 4),
    }


def over_seeds_and_rows(gaps: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Mean of rows' differences, an array of them a seed, and its error over seeds and rows.

    Of one seed, its error over rows alone.
    """
    by_seed, by_row = np.mean(gaps, axis=1), np.mean(gaps, axis=0)
    variance = by_row.var(ddof=1) / len(by_row)
    if len(by_seed) > 1:
        variance += by_seed.var(ddof=1) / len(by_seed)
    return float(by_row.mean()), math.sqrt(variance)


def averaged(fits: Sequence[Fitted]) -> Fitted:
    """One flow over the seeds: each row's mean score, and the mean of the rest."""
    scores = np.mean([fitted.scores for fitted in fits], axis=0)
    seconds, epochs = np.mean([(fitted.seconds, fitted.epochs) for fitted in fits], axis=0)
    return Fitted(scores, float(seconds), float(epochs), fits[0].parameters)


def figures(flows: dict[str, Fitted]) -> dict[str, dict[str, Any]]:
    """What the table and the JSON say of the flows of one seed, or of their mean."""
    return {
        name: {
            "log_prob": mean_and_se(fitted.scores),
            "minus_zuko": mean_and_se(fitted.scores - flows[PEER.get(name, name)].scores),
            "seconds": round(fitted.seconds, 1),
            "epochs": round(fitted.epochs, 1),
            "parameters": fitted.parameters,
        }
        for name, fitted in flows.items()
    }


def table(blocks: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Figures as Markdown."""
    lines = [
        "| seed | flow | nats per test row | minus zuko, paired | seconds | epochs | parameters |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for seed, block in blocks.items():
        for name, row in block.items():
            nats = "{mean:.3f} ± {se:.3f}".format(**row["log_prob"])
            gap = "{mean:+.3f} ± {se:.3f}".format(**row["minus_zuko"]) if name in PEER else ""
            took = f"{row['seconds']:.0f} | {row['epochs']:.0f} | {row['parameters']}"
            lines.append(f"| {seed} | {TITLES[name]} | {nats} | {gap} | {took} |")
    return "\n".join(lines)


def main() -> int:
    chosen = recipe.load_recipe(RECIPE)
    dataset = data.load_dataset(chosen.data)
    dry = FlowRecipe.model_validate(chosen.flow.model_dump() | {"dropout": 0.0})
    fits: dict[str, list[Fitted]] = {name: [] for name in TITLES}
    for seed in SEEDS:
        seeded = chosen.model_copy(update={"fit": chosen.fit.model_copy(update={"seed": seed})})
        without = seeded.model_copy(update={"flow": dry})
        for name in TITLES:
            kind = zuko_run("MAF") if name.startswith("zuko") else Run
            recipe_of = without if name.endswith("dry") else seeded
            fits[name].append(train(kind, f"{name}, seed {seed}", recipe_of, dataset))
    blocks = {
        str(seed): figures({name: fitted[i] for name, fitted in fits.items()})
        for i, seed in enumerate(SEEDS)
    }
    mean = figures({name: averaged(fitted) for name, fitted in fits.items()})
    gap = mean["ours"]["minus_zuko"]
    passed = gap["mean"] >= -gap["se"]  # written so that NaN fails
    result = {
        "recipe": chosen.model_dump(mode="json"),
        "data_sha256": dataset.sha256,
        "test_rows": len(dataset.test),
        "torch": torch.__version__,
        "zuko": version("zuko"),
        "cpu_threads": torch.get_num_threads(),
        "seeds": blocks,
        "mean": mean,
        "passed": passed,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(blocks | {"mean": mean}))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
