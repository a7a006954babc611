"""Typed columns by a causal transformer beside a masked network: same rows, same CPU time.

    python -m tests.benchmarks.column_networks [TABLE…] [--seconds 120]

Each side trains its candidates on one thread, one after another, and begins none after it has spent
its seconds of CPU time; those of the masked network are the ones of `bijecta fit`. What scores best
on validation rows counts, and these are compared row by row. `wine` (scikit-learn's) needs no data;
others are tables of `tests.benchmarks.tables`, and need shared data. Writes
results/column_networks.json and the page results/column_networks.md, and goes on where it was.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tests.benchmarks.common.bar import add_results_option, publish
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.tables.data import tables
from training.config import Recipe
from training.data import TypedDataset, load_rows
from training.data.examples.wine import write_wine
from training.evaluate import mean_and_error
from training.fit import fit
from training.runs import open_or_create
from training.scoring import log_prob
from training.selection.candidates import FEW_ROWS, Candidate, candidates_of

STEM = "column_networks"

SMALL = ("wine", "odd-schoollevy", "ad-6_cardio", "odd-ridefailure")
"""Tables that are tried where none is named."""

SMALL_WIDTHS: list[tuple[str, dict[str, Any]]] = [
    ("32 units, dropout 0.3", {"hidden": [32, 32], "dropout": 0.3}),
    ("64 units, dropout 0.5", {"dropout": 0.5}),
    ("64 units, dropout 0.3", {"dropout": 0.3}),
]
LARGE_WIDTHS: list[tuple[str, dict[str, Any]]] = [
    ("64 units", {}),
    ("three blocks", {"hidden": [64, 64, 64]}),
    ("128 units", {"hidden": [128, 128]}),
]


class Side(NamedTuple):
    """The best of what a side has trained.

    Args:
        candidate: its name.
        tried: how many.
        seconds: of CPU time, of all of them.
        scores: log_prob of each validation row.
    """

    candidate: str
    tried: int
    seconds: float
    scores: NDArray[np.float64]


def transformers_of(rows: int, columns: int) -> list[Candidate]:
    """What is tried of the transformer, for as many epochs as the masked network."""
    options = SMALL_WIDTHS if rows < FEW_ROWS else LARGE_WIDTHS
    # of wines, rates of 1e-3 and 5e-4 scored 0.15 nats better than the default, 2e-3
    budget = candidates_of(rows, columns)[0].fit | {"learning_rate": 1e-3}
    return [Candidate(name, each, budget) for name, each in options]


def best_of(
    family: str, candidates: list[Candidate], file: Path, folder: Path, seconds: float
) -> Side:
    """Train candidates until the time is spent.

    Args:
        family: of typed columns.
        candidates: in their order.
        file: the table.
        folder: of the runs.
        seconds: of CPU time.
    """
    started, found = time.process_time(), list[tuple[float, str, NDArray[np.float64]]]()
    for i, candidate in enumerate(candidates):
        if i and time.process_time() - started > seconds:
            break
        recipe = Recipe.model_validate(
            {
                "data": {"source": str(file)},
                "flow": {"family": family, **candidate.flow},
                "fit": candidate.fit,
            }
        )
        dataset = load_rows(recipe.data, typed=True)
        run = open_or_create(folder / f"{family}-{i}", family, recipe, dataset)
        fit(run, dataset, torch.device("cpu"))
        rows = dataset.validation
        scores = log_prob(run.best_density(), rows.rows[None], rows.context)
        found.append((float(scores.mean()), candidate.name, scores))
        spent = time.process_time() - started
        print(f"{family}, {candidate.name}: {found[-1][0]:.3f}, {spent:.0f} s", flush=True)
    _, name, scores = max(found, key=lambda each: each[0])
    return Side(name, len(found), time.process_time() - started, scores)


def compared(file: Path, seconds: float) -> dict[str, Any]:
    """Both sides on one table."""
    source = Recipe.model_validate({"data": {"source": str(file)}, "flow": {"family": "tabular"}})
    dataset = load_rows(source.data, typed=True)
    assert isinstance(dataset, TypedDataset)
    size = len(dataset.train), len(dataset.columns.modelled)
    with tempfile.TemporaryDirectory() as work:
        masked = best_of("tabular", candidates_of(*size), file, Path(work), seconds)
        other = best_of("tabular-transformer", transformers_of(*size), file, Path(work), seconds)
    gain, se = mean_and_error(other.scores - masked.scores)
    return {
        "rows": size[0],
        "columns": size[1],
        "validation": len(masked.scores),
        "gain": [gain, se],
        **{
            name: [*mean_and_error(side.scores), side.seconds, side.tried, side.candidate]
            for name, side in (("masked", masked), ("transformer", other))
        },
    }


def main() -> None:
    """Compare on each table that has no figures yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", default=SMALL)
    parser.add_argument("--seconds", type=float, default=120)
    add_results_option(parser)
    arguments = parser.parse_args()
    path = arguments.results / f"{STEM}.json"
    figures: dict[str, Any] = {}
    if path.exists():
        figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    for name in arguments.tables:
        if name in figures:
            continue
        with tempfile.TemporaryDirectory() as work:
            file = Path(work) / "wine.csv"
            if name == "wine":
                write_wine(file)
            else:
                file = tables()[name][1](Path(work))
            figures[name] = compared(file, arguments.seconds)
        page_text = page(figures, arguments.seconds)
        publish(arguments.results, STEM, {"figures": figures}, page_text, [])


def page(figures: dict[str, Any], seconds: float) -> str:
    """The Markdown page."""

    def side(each: list[Any]) -> str:
        mean, se, seconds, tried, candidate = each
        return f"{mean:.3f} ± {se:.3f} ({candidate}; {tried} in {seconds:.0f} s)"

    rows = [
        (
            name,
            f"{each['rows']} × {each['columns']}",
            side(each["masked"]),
            side(each["transformer"]),
            "{:.3f} ± {:.3f}".format(*each["gain"]),
        )
        for name, each in figures.items()
    ]
    headings = ("table", "training rows", "masked network", "transformer", "gain")
    lines = "\n".join(table(headings, rows))
    return f"""# Networks over typed columns

`python -m tests.benchmarks.column_networks --seconds {seconds:g}`, on {cpu_name()}. Nats per
validation row ± standard error, of the best of the candidates that each side trained in about the
same CPU time (how many, and in how many seconds), and the paired gain of the transformer. Rows that
choose a candidate also compare the sides.

{lines}"""


if __name__ == "__main__":
    main()
