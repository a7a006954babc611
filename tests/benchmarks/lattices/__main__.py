"""Pixels as lattices, of which each value has a probability, beside pixels with uniform noise.

    python -m tests.benchmarks.lattices [--only digits] [--work FOLDER]

Both are trained by `bijecta train` with the same network, rows, division and epochs; the noise is
drawn once. Writes results/lattices.json and the page results/lattices.md; exits with 1 where the
lattices are not better by 0.02 bits per dimension and by two standard errors of the paired rows.
"""

import argparse
import gzip
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.helpers.shared_data import SHARED

RECIPE = """
[data]
source = "{source}"
seed = 0
repeated_rows = "apart"
{kinds}
[flow]
family = "tabular"
hidden = {hidden}
components = 5
[fit]
epochs = {epochs}
patience = {epochs}
batch_size = {batch}
"""

SETS: dict[str, dict[str, Any]] = {
    "digits": {"hidden": [256, 256], "epochs": 60, "batch": 128},
    "mnist": {"hidden": [512, 512], "epochs": 6, "batch": 100},
}
MNIST_ROWS = 10_000

LEAST_GAIN = 0.02
"""Bits per dimension."""


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.lattices")
    parser.add_argument("--only", choices=SETS, nargs="*", default=list(SETS))
    parser.add_argument("--work", type=Path, default=Path("runs/bench-lattices"))
    add_results_option(parser)
    arguments = parser.parse_args()
    file = arguments.results / "lattices.json"
    results = json.loads(file.read_text())["sets"] if file.exists() else {}
    for name in arguments.only:
        results[name] = _compare(name, arguments.work / name)
    bars = [
        bar
        for name, each in results.items()
        for bar in (
            Bar(f"{name}: bits per dimension gained", each["gain"], LEAST_GAIN, floor=True),
            Bar(f"{name}: gain in standard errors", each["gain"] / each["se"], 2.0, floor=True),
        )
    ]
    page = "\n".join(_page(results))
    sys.exit(publish(arguments.results, "lattices", {"sets": results}, page, bars))


def _compare(name: str, folder: Path) -> dict[str, Any]:
    """Both ways of one data set: bits per dimension, and the paired gain."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = _pixels(name)
    # a constant column has no density as a number, and with noise one that nothing is gained by
    varied = pixels[:, pixels.min(0) < pixels.max(0)]
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, varied.shape)
    kinds = ", ".join(f'{i} = "numeric"' for i in range(varied.shape[1]))
    ways = {"lattice": (varied, ""), "noise": (varied + noise, f"kinds = {{ {kinds} }}")}
    scores = {way: _scores(folder, way, *rows, SETS[name]) for way, rows in ways.items()}
    per_bit = math.log(2) * pixels.shape[1]
    gain = (scores["lattice"] - scores["noise"]) / per_bit
    return {
        **SETS[name],
        "rows": len(pixels),
        "held_out": len(gain),
        "dimensions": pixels.shape[1],
        **{way: float(-each.mean() / per_bit) for way, each in scores.items()},
        "gain": float(gain.mean()),
        "se": float(gain.std(ddof=1) / math.sqrt(len(gain))),
    }


def _pixels(name: str) -> NDArray[np.float64]:
    if name == "digits":
        digits: NDArray[np.float64] = load_digits().data
        return digits
    path = SHARED / "mnist" / "train-images-idx3-ubyte.gz"
    if not path.is_file():
        raise SystemExit(f"{path} is missing: BIJECTA_SHARED_DATA says where shared data is")
    content = gzip.decompress(path.read_bytes())
    images = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
    return images[:MNIST_ROWS].astype(np.float64)


def _scores(
    folder: Path, way: str, rows: NDArray[np.float64], kinds: str, options: dict[str, Any]
) -> NDArray[np.float64]:
    """Log-densities of the held-out rows, in their order in the source."""
    np.save(folder / f"{way}.npy", rows)
    recipe = folder / f"{way}.toml"
    recipe.write_text(RECIPE.format(source=f"{way}.npy", kinds=kinds, **options))
    run, scores = folder / "runs" / way, folder / f"{way}.parquet"
    for command in (
        ["train", str(recipe), "--out", str(run), "--name", way],
        ["evaluate", str(run), "--scores", str(scores)],
    ):
        subprocess.run([sys.executable, "-m", "service.cli", *command], check=True)
    found = pyarrow.parquet.read_table(scores)
    rows_of, log_prob = (found[column].to_numpy() for column in ("row", "log_prob"))
    ordered: NDArray[np.float64] = log_prob[np.argsort(rows_of)]
    return ordered


def _page(results: dict[str, Any]) -> list[str]:
    rows = [
        (
            name,
            str(each["rows"]),
            str(each["epochs"]),
            f"{each['lattice']:.3f}",
            f"{each['noise']:.3f}",
            f"{each['gain']:.3f} ± {each['se']:.3f}",
        )
        for name, each in results.items()
    ]
    columns = ("data", "rows", "epochs", "lattice", "noise", "gain")
    return [
        "# Whole numbers as lattices",
        "",
        "Bits per dimension of held-out rows: pixels whose values have probabilities, and the same "
        "pixels with one draw of uniform noise, by the same network, rows and epochs "
        f"(`python -m tests.benchmarks.lattices`, {cpu_name()}).",
        "",
        *table(columns, rows),
    ]


main()
