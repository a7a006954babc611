"""Frauds among made-up payments, over HTTP: how many are found, and whether the cause is named.

    python -m tests.benchmarks.anomaly.payments

A detector is fitted to payments.csv, served, and asked of check.csv, on which no choice is made,
and of normal payments that the generator makes of other seeds.
"""

import argparse
import csv
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from bijecta_client import Client
from tests.benchmarks.anomaly.data import Array
from tests.benchmarks.anomaly.false_alarms import interval
from tests.benchmarks.anomaly.served import fitted, served
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.markdown import table
from tests.helpers.shared_data import SHARED

GENERATOR = SHARED / "payments" / "make.py"

ALPHA = 0.01
REASONS = 3
COUNTS = "frauds", "found", "first", "among"

OTHER_SEEDS, OTHER_ROWS = range(1, 21), 4000
"""Of normal payments beside those of check.csv, and how many of each seed."""

LOOKS = 3
"""How often the figures of check.csv have been looked at: after `tails`, and before and after pairs
of columns in reasons, which were chosen on frauds of other seeds."""

Record = dict[str, str]


def main() -> int:
    """Measure, and write the page; the exit code says whether a bar fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomaly.payments")
    add_results_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        normal, check = _made(Path(folder))
        store = fitted(normal, Path(folder))
        with served(store) as url, Client(url, "table", timeout=600) as client:
            p_values, reasons = _asked(client, check)
            others = {
                "calibration": client.model()["calibration"]["rows"],
                "normal": OTHER_ROWS * len(OTHER_SEEDS),
                "alarms": [_false_alarms(client, seed) for seed in OTHER_SEEDS],
            }
    causes = [row["cause"] for row in check]
    found = figures(p_values, causes, reasons) | {"others": others}
    return publish(arguments.results, "anomaly_payments", found, page(found), bars(found))


def _made(folder: Path) -> tuple[Path, list[Record]]:
    """The table of normal payments, and the payments to check.

    Raises:
        SystemExit: the generator is missing.
    """
    if not GENERATOR.exists():
        raise SystemExit(f"{GENERATOR} is missing: BIJECTA_SHARED_DATA says where it is")
    subprocess.run([sys.executable, GENERATOR, folder], check=True)
    with (folder / "check.csv").open(newline="") as file:
        return folder / "payments.csv", list(csv.DictReader(file))


def _asked(client: Client, rows: Sequence[Record]) -> tuple[Array, list[list[str]]]:
    """The p-value of each row, and of alarms the columns that raise the score."""
    asked = [{k: v for k, v in row.items() if k not in ("fraud", "cause")} for row in rows]
    p_values = client.score(asked, seed=0).p_value
    chosen = np.flatnonzero(p_values <= ALPHA)
    answer = client.score([asked[i] for i in chosen], reasons=REASONS)
    assert answer.reasons is not None
    reasons: list[list[str]] = [[] for _ in rows]
    for i, named in zip(chosen, answer.reasons, strict=True):
        reasons[i] = [reason["column"] for reason in named or []]
    return p_values, reasons


def _false_alarms(client: Client, seed: int) -> int:
    """How many of `OTHER_ROWS` normal payments of a seed are alarms."""
    spec = importlib.util.spec_from_file_location("payments", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    random = Random(seed)
    # as text, of which nothing is said, as of check.csv
    rows = [
        {name: str(value) for name, value in made.payment(random, number).items()}
        for number in range(OTHER_ROWS)
    ]
    return int((client.score(rows, seed=0).p_value <= ALPHA).sum())


def figures(
    p_values: Array, causes: Sequence[str], reasons: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """What was found at `ALPHA`.

    Args:
        p_values: of each row.
        causes: the column in which each row is a fraud, empty of normal rows.
        reasons: of each row the columns that raise its score, of alarms only.
    """
    normal = np.array([not cause for cause in causes])
    alarm = p_values <= ALPHA
    # the largest level at which so few of these normal rows are alarms
    ordered = np.sort(p_values[normal])
    level = ordered[int(ALPHA * normal.sum())]
    by_cause = {}
    for cause in sorted({*causes} - {""}):
        of = [i for i, each in enumerate(causes) if each == cause]
        caught = [i for i in of if alarm[i]]
        by_cause[cause] = {
            "frauds": len(of),
            "found": len(caught),
            "first": sum(reasons[i][:1] == [cause] for i in caught),
            "among": sum(cause in reasons[i] for i in caught),
        }
    return {
        "normal": int(normal.sum()),
        "false_alarms": int((alarm & normal).sum()),
        "recall_at_measured_rate": float((p_values[~normal] < level).mean()),
        "by_cause": by_cause,
    }


def _totals(found: Mapping[str, Any]) -> dict[str, float]:
    counts = found["by_cause"].values()
    total = {
        key: sum(each[key] for each in counts) for key in ("frauds", "found", "first", "among")
    }
    caught = max(1, total["found"])
    return {
        "recall": 100 * total["found"] / total["frauds"],
        "first": 100 * total["first"] / caught,
        "among": 100 * total["among"] / caught,
        "false": 100 * found["false_alarms"] / found["normal"],
    }


def bars(found: Mapping[str, Any]) -> list[Bar]:
    """What the figures must reach, in %."""
    of, others = _totals(found), found["others"]
    recall = 100 * found["recall_at_measured_rate"]
    chance = interval(others, ALPHA, 1)[1]
    return [
        Bar("frauds found where 1 % of the normal payments are alarms", recall, 60.0, floor=True),
        Bar("false alarms of normal payments of other seeds", sum(others["alarms"]), chance),
        Bar("cause named first, of the frauds found", of["first"], 80.0, floor=True),
        Bar(f"cause among {REASONS}, of the frauds found", of["among"], 95.0, floor=True),
    ]


def page(found: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    of, others = _totals(found), found["others"]
    shares = 100 * np.array(others["alarms"]) / OTHER_ROWS
    error = shares.std(ddof=1) / len(shares) ** 0.5
    chance = [100 * count / others["normal"] for count in interval(others, ALPHA, 1)]
    rows = [
        (cause, *(str(each[key]) for key in COUNTS)) for cause, each in found["by_cause"].items()
    ]
    lines = [
        "# Frauds among payments, over HTTP",
        "",
        "A detector of `bijecta fit-detector`, fitted to 20,000 normal payments, is asked of 4,200",
        "others, of which 200 are frauds with one wrong column each.",
        "`python -m tests.benchmarks.anomaly.payments`.",
        "",
        *table(("cause", "frauds", "found", "named first", f"named among {REASONS}"), rows),
        f"At α = {100 * ALPHA:g} %: recall {of['recall']:.1f} %, false alarms {of['false']:.2f} % "
        f"of {found['normal']} normal payments; the cause is named first in {of['first']:.1f} % "
        f"and among {REASONS} in {of['among']:.1f} % of the frauds found.",
        f"At the level at which {100 * ALPHA:g} % of these normal payments are alarms: recall "
        f"{100 * found['recall_at_measured_rate']:.1f} %.",
        "",
        f"Of {OTHER_ROWS} normal payments of each of {len(shares)} other seeds of the generator",
        f"the same detector calls {shares.mean():.2f} ± {error:.2f} % anomalies, of a seed "
        f"{shares.min():.2f} to {shares.max():.2f} %.",
        f"Chance allows {chance[0]:.2f} to {chance[1]:.2f} % of all {others['normal']:,}: "
        "the rows of the calibration are a draw, too.",
        "",
        f"The figures of check.csv have been looked at {LOOKS} times. Pairs of columns in reasons",
        "came before the last time, and were chosen on frauds of other seeds.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
