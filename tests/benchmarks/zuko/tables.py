"""Held-out likelihood of two papers' tables beside zuko 1.6's flows of the same size.

    pip install zuko==1.6.0
    python -m tests.benchmarks.papers.data FOLDER
    python -m tests.benchmarks.zuko.tables FOLDER

MAF and the autoregressive NSF, ours and zuko's, are fitted to a month of POWER, prepared as
published, and to the part of MINIBOONE that is at hand; see `zuko_maf` for what the trainings
share. Prints a table, writes `results/zuko_tables.json` beside this file, and exits with 1 where
ours is worse by more than one standard error of the paired difference.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.markdown import table
from tests.benchmarks.zuko.flows import zuko_run
from tests.benchmarks.zuko.maf import averaged, mean_and_se, over_seeds_and_rows, train
from training.config.recipe import Recipe
from training.data import load as data
from training.runs.run import Run

RESULT = RESULTS / "zuko_tables.json"

# our family, and zuko's name of it
FAMILIES = {"maf": "MAF", "nsf-ar": "NSF"}

DATA: dict[str, dict[str, Any]] = {
    "power, one month": {"protocol": "power", "source": "power.npy"},
    "miniboone, a tenth": {"source": "miniboone.npy", "test": 0.1, "validation": 0.1},
}

# little data needs small networks and some dropout, or early stopping is all that trains them
SIZES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "power, one month": ({"transforms": 5, "hidden": [128, 128]}, {"batch_size": 256}),
    "miniboone, a tenth": (
        {"transforms": 5, "hidden": [64, 64], "dropout": 0.2},
        {"batch_size": 64, "weight_decay": 1e-3},
    ),
}

SEEDS = {"power, one month": 1, "miniboone, a tenth": 6}


def chosen(name: str, family: str, folder: Path, seed: int = 0) -> Recipe:
    """The recipe of a table and a family."""
    options, fit = SIZES[name]
    source = {"source": str(folder / DATA[name]["source"])}
    common = {
        "epochs": 80,
        "patience": 15,
        "schedule": "cosine",
        "learning_rate": 1e-3,
        "seed": seed,
    }
    return Recipe.model_validate(
        {
            "data": DATA[name] | source,
            "flow": {"family": family, "preprocessing": "standardize"} | options,
            "fit": common | fit,
        }
    )


def main(folder: Path) -> int:
    figures, lines, passed = {}, [], True
    for name in DATA:
        dataset = data.load_dataset(chosen(name, "maf", folder).data)
        for family, theirs in FAMILIES.items():
            recipes = [chosen(name, family, folder, seed) for seed in range(SEEDS[name])]
            fits = [
                [train(kind, f"{name}, {family}, {who}", recipe, dataset) for recipe in recipes]
                for who, kind in (("ours", Run), ("zuko", zuko_run(theirs)))
            ]
            ours, zuko = map(averaged, fits)
            gaps = [a.scores - b.scores for a, b in zip(*fits, strict=True)]
            mean, se = over_seeds_and_rows(gaps)
            gap = {"mean": round(mean, 4), "se": round(se, 4)}
            passed &= gap["mean"] >= -gap["se"]  # written so that NaN fails
            figures[f"{name}, {family}"] = {
                "ours": mean_and_se(ours.scores),
                "zuko": mean_and_se(zuko.scores),
                "ours_minus_zuko": gap,
                "parameters": [ours.parameters, zuko.parameters],
                "seconds": [round(ours.seconds), round(zuko.seconds)],
                "epochs": [ours.epochs, zuko.epochs],
                "test_rows": len(ours.scores),
                "seeds": len(recipes),
            }
            scores = [mean_and_se(scores) for scores in (ours.scores, zuko.scores)]
            lines.append(
                (
                    f"{name}, {family}",
                    *(f"{score['mean']:.3f} ± {score['se']:.3f}" for score in scores),
                    f"{gap['mean']:+.3f} ± {gap['se']:.3f}",
                    f"{ours.parameters:,} / {zuko.parameters:,}",
                    f"{ours.seconds:.0f} / {zuko.seconds:.0f}",
                )
            )
    result = {
        "torch": torch.__version__,
        "zuko": version("zuko"),
        "cpu_threads": torch.get_num_threads(),
        "passed": passed,
        "figures": figures,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    columns = ("data, family", "ours, nats", "zuko's", "ours − zuko's, paired", "parameters", "s")
    print("\n".join(table(columns, lines)))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
