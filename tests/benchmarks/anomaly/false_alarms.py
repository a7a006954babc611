"""False alarms over HTTP: of each table a detector is fitted, exported, served and asked.

    python -m tests.benchmarks.anomaly.false_alarms [--only NAME …]

Goes on where it was: results/false_alarms.json has the figures of every table. Of normal rows that
no training saw, the share that raise an alarm at a level is compared with the beta-binomial
interval of as many calibration rows, Bonferroni over tables and levels; more alarms are a miss.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import betabinom

from bijecta_client import Client, RowError
from tests.benchmarks.anomaly.data import Rows, Task, names_of, rows_of
from tests.benchmarks.anomaly.served import fitted, served
from tests.benchmarks.common.bar import Bar, add_results_option, figure, publish

LEVELS = (0.01, 0.05)
FDR = 0.1
ERROR = 0.05
"""Probability that an interval of any table and level is missed by chance."""

MIN_CALIBRATION_ROWS = 199

Result = dict[str, Any]


def main() -> int:
    """Measure what has no result yet, and write the page; the exit code says whether a bar fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomaly.false_alarms")
    parser.add_argument("--only", nargs="*", help="names of tables, or beginnings of them")
    add_results_option(parser)
    arguments = parser.parse_args()
    file: Path = arguments.results / "false_alarms.json"
    results: dict[str, Result] = json.loads(file.read_text())["results"] if file.exists() else {}
    for group in ("adbench", "oddbench"):
        for name in names_of(group):
            wanted = not arguments.only or name.startswith(tuple(arguments.only))
            if wanted and name not in results:
                results[name] = measured(rows_of(Task(group, name, 0, "clean")))
                file.write_text(json.dumps({"results": results}, indent=1) + "\n")
                print(name, results[name], flush=True)
    counted = {k: v for k, v in results.items() if v["calibration"] >= MIN_CALIBRATION_ROWS}
    return publish(
        arguments.results, "false_alarms", {"results": results}, page(counted), bars(counted)
    )


def measured(rows: Rows) -> Result:
    """Fit, export, serve and ask."""
    with tempfile.TemporaryDirectory() as folder:
        table, began = Path(folder) / "table.csv", time.monotonic()
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(rows.names)
            writer.writerows(
                ["" if np.isnan(v) else repr(float(v)) for v in row] for row in rows.train
            )
        store = fitted(table, Path(folder))
        seconds = time.monotonic() - began
        with served(store) as url, Client(url, "table", timeout=600) as client:
            names = [column["name"] for column in client.model()["columns"]]
            of_file = [name.strip() for name in rows.names]  # as headers are read
            chosen = [of_file.index(name) for name in names]
            records = [
                {k: None if np.isnan(v) else float(v) for k, v in zip(names, row, strict=True)}
                for row in rows.test[:, chosen]
            ]
            refused: list[RowError] = []
            answer = client.score(records, seed=0, failures=refused)
            normal = (rows.labels == 0) & ~np.isnan(answer.p_value)
            result: Result = {
                "calibration": client.model()["calibration"]["rows"],
                "normal": int(normal.sum()),
                "refused": len({error.row for error in refused}),
                "seconds": seconds,
            }
            for level in LEVELS:
                result[f"{level:g}"] = int((answer.p_value[normal] <= level).sum())
            found = client.score(records, fdr=FDR, failures=refused).anomaly.astype(bool)
            found &= ~np.isnan(answer.p_value)
            result["discoveries"] = int(found.sum())
            result["false_share"] = float(found[normal].sum() / max(1, found.sum()))
            return result


def interval(result: Result, level: float, tables: int) -> tuple[int, int]:
    """The alarms of so many normal rows, of so many calibration rows, that chance allows."""
    m = result["calibration"]
    # the rank that a p-value of `level` has among the calibration rows
    rank = int(np.floor(level * (m + 1)))
    law = betabinom(result["normal"], rank, m + 1 - rank)
    share = ERROR / (2 * tables * len(LEVELS))
    return int(law.ppf(share)), int(law.ppf(1 - share))


def bars(results: dict[str, Result]) -> list[Bar]:
    """What may not be missed: too many alarms of a table, and false discoveries over all."""
    reached = [
        Bar(f"{name}, alarms at {level:g}", r[f"{level:g}"], interval(r, level, len(results))[1])
        for name, r in results.items()
        for level in LEVELS
    ]
    shares = np.array([r["false_share"] for r in results.values()])
    if len(shares) > 1:
        limit = FDR + 2 * float(shares.std(ddof=1)) / len(shares) ** 0.5
        reached.append(Bar("mean share of false discoveries", float(shares.mean()), limit))
    return reached


def page(results: dict[str, Result]) -> str:
    """The table."""
    lines = [
        "# False alarms over HTTP",
        "",
        "Detectors of `bijecta fit-detector`, fitted to normal rows. Of other normal rows the",
        "share that raise an alarm (in brackets what chance allows, 95 % over all of them);",
        f"at a rate of false discoveries of {FDR:g} the share of normal rows among the alarms.",
        "Ties are drawn. Refused are rows with values that their columns cannot have.",
        "",
        "| table | calibration | normal | refused | at 1 % | at 5 % | alarms | false | fit, s |",
        "|---|---:|---:|---:|---|---|---:|---:|---:|",
    ]
    for name, r in results.items():
        shares = []
        for level in LEVELS:
            low, high = (100 * v / r["normal"] for v in interval(r, level, len(results)))
            share = 100 * r[f"{level:g}"] / r["normal"]
            shares.append(f"{share:.2f} % ({low:.2f} to {high:.2f})")
        lines.append(
            f"| {name} | {r['calibration']} | {r['normal']} | {r['refused']} | {shares[0]} | "
            f"{shares[1]} | {r['discoveries']} | {figure(r['false_share'])} | {r['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
