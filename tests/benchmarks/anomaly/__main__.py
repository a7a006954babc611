"""Detectors beside those of other libraries, table by table.

    python -m tests.benchmarks.anomaly [--seeds 1] [--only NAME …] [--others]

Goes on where it was: results/anomaly.json has the figures of every table, seed and peer, and ours
by the configuration that made them. `--others` scores the tables on which no choice was made, too;
the page says for how many configurations that was done.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from service.tables import RawTable, decide, from_array, to_rows
from tests.benchmarks.anomaly.data import Array, Rows, Task, rows_of, tasks
from tests.benchmarks.anomaly.page import bars, page
from tests.benchmarks.anomaly.peers import PEERS, scores_of
from tests.benchmarks.common.bar import add_results_option, publish
from training.detectors import COMBINATIONS, CONFIGURATIONS, Configuration, fit_detector

LEVELS = (0.01, 0.05)


def main() -> int:
    """Score what has no result yet, and write the page; the exit code says whether a bar fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomaly")
    parser.add_argument("--seeds", type=int, default=5, help="at most so many of each table")
    parser.add_argument("--only", nargs="*", help="names of tables, or beginnings of them")
    parser.add_argument("--others", action="store_true", help="the other tables of OddBench, too")
    add_results_option(parser)
    arguments = parser.parse_args()
    file: Path = arguments.results / "anomaly.json"
    content = json.loads(file.read_text()) if file.exists() else {}
    results: dict[str, Any] = content.get("results", {})
    for task in tasks(arguments.others):
        wanted = not arguments.only or task.name.startswith(tuple(arguments.only))
        if task.seed >= arguments.seeds or not wanted:
            continue
        result = results.setdefault(task.key, {"task": task._asdict(), "peers": {}, "ours": {}})
        if _add_missing(result, task):
            file.write_text(json.dumps({"results": results}, indent=1) + "\n")
            print(_line(result, task), flush=True)
    digests: dict[str, str] = {name: digest(name) for name in CONFIGURATIONS}
    return publish(
        arguments.results,
        "anomaly",
        {"results": results},
        page(list(results.values()), digests),
        bars(list(results.values()), digests),
    )


def digest(configuration: Configuration) -> str:
    """A name of what a configuration is made of."""
    parts = [part.model_dump_json() for part in CONFIGURATIONS[configuration]]
    parts.append(COMBINATIONS[configuration])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _add_missing(result: dict[str, Any], task: Task) -> bool:
    """Score a table by what has no result yet; whether there was anything."""
    ours = digest(task.configuration)
    peers = [name for name in PEERS if name not in result["peers"]]
    if not peers and ours in result["ours"]:
        return False
    rows = rows_of(task)
    for name in peers:
        result["peers"][name] = _peer(name, rows, task.seed)
    if ours not in result["ours"]:
        result["ours"][ours] = _ours(rows, task)
    return True


def _peer(name: str, rows: Rows, seed: int) -> dict[str, Any]:
    started = time.process_time()
    try:
        scores = scores_of(name, rows, seed)
    except ValueError as error:
        return {"failed": str(error)}
    seconds = time.process_time() - started
    return {"auroc": auroc(scores, rows.labels), "seconds": round(seconds, 2)}


def _ours(rows: Rows, task: Task) -> dict[str, Any]:
    """A detector of typed columns. What they refuse is an anomaly like no other."""
    started = time.process_time()
    table = _table(rows.train, rows.names)
    decision = decide(table)
    left_out = [column.name for column in decision.left_out]
    train = to_rows(table.columns, decision.columns, left_out).rows
    fitted = fit_detector(train, decision.columns, configuration=task.configuration, seed=task.seed)
    seconds = time.process_time() - started
    calibration = fitted.out_of_sample
    if task.configuration == "contaminated":
        scores, log_prob, refused = calibration, None, 0
    else:
        test = to_rows(_table(rows.test, rows.names).columns, decision.columns, left_out)
        chunks = torch.split(torch.from_numpy(test.rows), 1024)
        both = [fitted.detector(chunk) for chunk in chunks]
        scores, log_prob = (torch.cat(values).numpy() for values in zip(*both, strict=True))
        scores, refused = np.where(test.faulty, np.inf, scores), int(test.faulty.sum())
        log_prob = np.where(test.faulty, -np.inf, log_prob)
    result: dict[str, Any] = {
        "auroc": auroc(scores, rows.labels),
        "seconds": round(seconds, 2),
        "refused": refused,
    }
    if log_prob is not None:
        normal = scores[rows.labels == 0]
        at_least = len(calibration) - np.searchsorted(np.sort(calibration), normal)
        p_values = (1 + at_least) / (len(calibration) + 1)
        result |= {
            "auroc_log_prob": auroc(-log_prob, rows.labels),
            "calibration": len(calibration),
            "normal": len(normal),
            "alarms": {str(level): int((p_values <= level).sum()) for level in LEVELS},
        }
    return result


def _table(values: Array, names: list[str]) -> RawTable:
    columns = {name: from_array(values[:, i]) for i, name in enumerate(names)}
    return RawTable(columns, len(values))


def auroc(scores: Array, labels: Array) -> float:
    """Share of pairs of an anomaly and a normal row whose scores are in order, ties half; in %."""
    ranks, anomaly = rankdata(scores), labels == 1
    count = int(anomaly.sum())
    above = ranks[anomaly].sum() - count * (count + 1) / 2
    return round(float(100 * above / (count * (len(labels) - count))), 3)


def _line(result: dict[str, Any], task: Task) -> str:
    peers = {name: each.get("auroc") for name, each in result["peers"].items()}
    return f"{task.key}: {result['ours'][digest(task.configuration)]} {peers}"


raise SystemExit(main())
