"""Reasons over HTTP: one value of a normal row is replaced; is its column named?

    python -m tests.benchmarks.anomaly.reasons [--only NAME …] [--detectors FOLDER]

On the ten tables of ADBench, divided as those of the table of detectors: a detector is fitted to
half of the normal rows, and 200 of the others are changed in a column drawn for each. `moved`: the
column has the value of a training row, at least half a deviation away; `far`: it is five deviations
larger or smaller. Goes on where it was: results/anomaly_reasons.json has the figures of every
table, and FOLDER (runs/reasons) the detectors, which other reasons are measured with.
"""

import argparse
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bijecta_client import Client
from tests.benchmarks.anomaly.data import Array, Task, names_of, rows_of
from tests.benchmarks.anomaly.served import fitted, served
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.markdown import table

MAX_ROWS = 200
MIN_MOVE, FAR = 0.5, 5.0
"""In deviations of the column among the training rows."""

REASONS = 3
FIRST = {"moved": 70.0, "far": 98.0}
"""What is done to a row, and in how many of 100 its column is to be named first."""

Result = dict[str, Any]


class Changed(NamedTuple):
    """Rows with one other value each.

    Args:
        rows: N × D.
        columns: N, where the value stands.
    """

    rows: Array
    columns: Array


def main() -> int:
    """Measure what has no result yet, and write the page; the exit code says whether a bar fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomaly.reasons")
    parser.add_argument("--only", nargs="*", help="names of tables, or beginnings of them")
    parser.add_argument("--detectors", type=Path, default=Path("runs/reasons"))
    add_results_option(parser)
    arguments = parser.parse_args()
    file: Path = arguments.results / "anomaly_reasons.json"
    results: dict[str, Result] = json.loads(file.read_text())["results"] if file.exists() else {}
    for name in names_of("adbench"):
        wanted = not arguments.only or name.startswith(tuple(arguments.only))
        if wanted and name not in results:
            results[name] = measured(name, arguments.detectors / name)
            file.write_text(json.dumps({"results": results}, indent=1) + "\n")
            print(name, results[name], flush=True)
    return publish(
        arguments.results, "anomaly_reasons", {"results": results}, page(results), bars(results)
    )


def measured(name: str, folder: Path) -> Result:
    """Fit a detector where the folder has none, serve it, and ask for reasons."""
    rows = rows_of(Task("adbench", name, 0, "clean"))
    if not (folder / "store" / "table").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "table.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows.names)
            writer.writerows([[repr(float(value)) for value in row] for row in rows.train])
        fitted(folder / "table.csv", folder)
    random = np.random.default_rng(0)
    normal = random.permutation(np.flatnonzero(rows.labels == 0))[:MAX_ROWS]
    with served(folder / "store") as url, Client(url, "table", timeout=600) as client:
        columns = client.model()["columns"]
        places = [rows.names.index(column["name"]) for column in columns]
        train, test = rows.train[:, places], rows.test[normal][:, places]
        steps = np.array([column.get("step") or 0.0 for column in columns])
        result: Result = {"columns": len(places), "rows": len(test)}
        for kind, changed in (
            ("moved", moved(test, train, random)),
            ("far", far(test, train, steps, random)),
        ):
            names = [column["name"] for column in columns]
            records = [dict(zip(names, row.tolist(), strict=True)) for row in changed.rows]
            reasons = client.score(records, reasons=REASONS).reasons
            assert reasons is not None
            named = [[reason["column"] for reason in each or []] for each in reasons]
            causes = [names[j] for j in changed.columns]
            result[kind] = {
                "first": sum(n[:1] == [c] for n, c in zip(named, causes, strict=True)),
                "among": sum(c in n for n, c in zip(named, causes, strict=True)),
            }
    return result


def moved(rows: Array, train: Array, random: np.random.Generator) -> Changed:
    """Rows with the value of a training row, which is not near, in a column of each."""
    rows, deviation = rows.copy(), train.std(0)
    columns = random.integers(rows.shape[1], size=len(rows))
    for row, j in zip(rows, columns, strict=True):
        away = np.abs(train[:, j] - row[j]) >= MIN_MOVE * deviation[j]
        row[j] = random.choice(train[away, j])
    return Changed(rows, columns)


def far(rows: Array, train: Array, steps: Array, random: np.random.Generator) -> Changed:
    """Rows with a value that is far off in a column of each, a multiple of the column's step."""
    rows, distance = rows.copy(), FAR * train.std(0)
    distance = np.where(
        steps > 0, np.ceil(distance / np.where(steps > 0, steps, 1)) * steps, distance
    )
    columns = random.integers(rows.shape[1], size=len(rows))
    each = np.arange(len(rows))
    rows[each, columns] += random.choice([-1, 1], len(rows)) * distance[columns]
    return Changed(rows, columns)


def shares(results: Mapping[str, Result], kind: str, rank: str) -> tuple[float, float]:
    """The mean over tables of how many rows of 100 have their column named, and its error.

    The error is that of the rows drawn, of these tables; how tables differ is no part of it.
    """
    counts = np.array([result[kind][rank] for result in results.values()], float)
    rows = np.array([result["rows"] for result in results.values()], float)
    share = counts / rows
    error = np.sqrt((share * (1 - share) / rows).sum()) / len(share)
    return 100 * float(share.mean()), 100 * float(error)


def bars(results: Mapping[str, Result]) -> list[Bar]:
    """What the figures must reach, in %."""
    return [
        Bar(f"{kind}: column named first", shares(results, kind, "first")[0], least, floor=True)
        for kind, least in FIRST.items()
    ]


def page(results: Mapping[str, Result]) -> str:
    """The page in Markdown."""
    ranks = [(kind, rank) for kind in FIRST for rank in ("first", "among")]
    rows = []
    for name, result in results.items():
        found = [f"{100 * result[kind][rank] / result['rows']:.1f}" for kind, rank in ranks]
        rows.append((name, str(result["columns"]), str(result["rows"]), *found))
    means = ["{:.1f} ± {:.1f}".format(*shares(results, *each)) for each in ranks]
    head = [
        f"{what} {rank}"
        for what in ("moved,", f"by {FAR:g} deviations,")
        for rank in ("first", f"among {REASONS}")
    ]
    lines = [
        "# Reasons over HTTP",
        "",
        "In normal rows that no training saw one value each is replaced: by that of a training",
        f"row at least {MIN_MOVE:g} deviations away, or by one {FAR:g} deviations larger or",
        f"smaller. Of 100 rows the reasons of `/score` name its column first, or among {REASONS};",
        "errors are of the rows that were drawn. `make bench-reasons`.",
        "",
        *table(("table", "columns", "rows", *head), [*rows, ("mean", "", "", *means)]),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
