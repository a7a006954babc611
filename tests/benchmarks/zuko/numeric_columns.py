"""The numeric columns of OddBench's tables: family `tabular` beside zuko 1.6's NSF.

    pip install zuko==1.6.0
    python -m tests.benchmarks.zuko.numeric_columns

Of each table both are fitted to the columns of kind `numeric` without missing values and without
values of large weight, where there are two or more and none follows from others: on the same rows,
with networks of the same widths, batches and stopping. NSF stands behind a fixed standardisation
and has three transforms. Prints a table and writes `results/zuko_numeric_columns.json`, small
tables first, and goes on where it was; the figures are reported, no bar is on them.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from service.tables import NumericColumn, RawTable, decide, from_array
from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.markdown import table
from tests.benchmarks.zuko.flows import zuko_run
from tests.benchmarks.zuko.maf import mean_and_se, train
from tests.helpers.shared_data import SHARED
from training.config.recipe import Recipe
from training.data import load as data
from training.data import load_rows
from training.errors import DataError
from training.fit.gradient import fit
from training.runs import open_or_create
from training.scoring import log_prob

RESULT = RESULTS / "zuko_numeric_columns.json"

FIT = {"epochs": 150, "patience": 15, "batch_size": 128, "threads": 1}


def main() -> None:
    """Fit both to each table that has such columns."""
    figures: dict[str, Any] = {}
    if RESULT.exists():
        figures = json.loads(RESULT.read_text(encoding="utf-8"))["figures"]
    tables = {path.stem: numeric_columns(path) for path in (SHARED / "oddbench").glob("*.npz")}
    for name, columns in sorted(tables.items(), key=lambda item: item[1].size):
        if columns.shape[1] < 2 or name in figures:
            continue
        try:
            figures[name] = compared(name, columns)
        except DataError as error:  # a column follows from another: they have no density
            print(name, error, flush=True)
        else:
            print(name, figures[name], flush=True)
            content = {"torch": torch.__version__, "zuko": version("zuko"), "figures": figures}
            RESULT.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    lines = [
        (
            name,
            str(each["columns"]),
            *("{mean:.3f} ± {se:.3f}".format(**each[key]) for key in ("tabular", "zuko", "gain")),
        )
        for name, each in figures.items()
    ]
    print("\n".join(table(("table", "columns", "tabular", "zuko's NSF", "paired gain"), lines)))


def numeric_columns(path: Path) -> NDArray[np.float64]:
    """The columns of a table that are real numbers in every row, none of large weight."""
    with np.load(path) as arrays:
        rows = arrays["train"].astype(np.float64)
    raw = {str(i): from_array(rows[:, i]) for i in range(rows.shape[1])}
    kept = [
        int(column.name)
        for column in decide(RawTable(raw, len(rows))).columns
        if isinstance(column, NumericColumn) and not column.missing and not column.point_masses
    ]
    chosen: NDArray[np.float64] = rows[:, kept]
    return chosen


def compared(name: str, rows: NDArray[np.float64]) -> dict[str, Any]:
    """Both on one table: nats per held-out row, and the paired gain of ours."""
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "rows.npy"
        np.save(file, rows)
        kinds = {str(i): "numeric" for i in range(rows.shape[1])}
        typed = recipe(file, {"family": "tabular"}, {"kinds": kinds, "keep": list(kinds)})
        dataset = load_rows(typed.data, typed=True)
        run = open_or_create(Path(work) / "run", "tabular", typed, dataset)
        fit(run, dataset, torch.device("cpu"))
        ours = log_prob(run.best_density(), dataset.test.rows[None])
        options = {"family": "nsf-ar", "transforms": 3, "hidden": [128, 128], "dropout": 0.1}
        theirs = recipe(file, options, {})
        flat = data.load_dataset(theirs.data)
        held_out = [each.test.indices for each in (flat, dataset)]
        assert str(held_out[0]) == str(held_out[1])
        zuko = train(zuko_run("NSF"), name, theirs, flat)
    gain = mean_and_se(ours - zuko.scores)
    return {
        "rows": len(rows),
        "columns": rows.shape[1],
        "tabular": mean_and_se(ours),
        "zuko": mean_and_se(zuko.scores),
        "gain": gain,
    }


def recipe(file: Path, flow: dict[str, Any], keys: dict[str, Any]) -> Recipe:
    """A recipe for the file; rows that repeat others are divided like the rest by both."""
    source = {"source": str(file), "repeated_rows": "apart", **keys}
    return Recipe.model_validate({"data": source, "flow": flow, "fit": FIT})


if __name__ == "__main__":
    main()
