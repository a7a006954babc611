"""The page of the benchmark, and the bars."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import betabinom

from tests.benchmarks.anomaly.data import CHOSEN_ON, names_of
from tests.benchmarks.anomaly.peers import PEERS
from tests.benchmarks.common.bar import Bar
from tests.benchmarks.common.markdown import table

Result = Mapping[str, Any]

# Share of false alarms, and rows of calibration from which on they are counted.
LEVELS = (0.01, 0.05)
MIN_CALIBRATION = 199

# All counts together lie in their intervals with this probability.
CONFIDENCE = 0.95


class Group:
    """Results of the same group and configuration, means over the seeds of each table."""

    def __init__(self, title: str, results: Iterable[Result], digests: Mapping[str, str]) -> None:
        self.title = title
        by_table: dict[str, list[dict[str, float]]] = {}
        self.ours: list[Result] = []
        for result in results:
            task = result["task"]
            ours = result["ours"].get(digests[task["configuration"]])
            if ours is None:
                continue
            self.ours.append(ours)
            figures = {"ours": ours["auroc"], "seconds": ours["seconds"]}
            if "auroc_log_prob" in ours:
                figures["−log p"] = ours["auroc_log_prob"]
            peers = {name: each.get("auroc", np.nan) for name, each in result["peers"].items()}
            by_table.setdefault(task["name"], []).append(figures | peers)
        self.tables = {
            name: {key: float(np.mean([seed[key] for seed in seeds])) for key in seeds[0]}
            for name, seeds in by_table.items()
        }
        self.seeds = max(map(len, by_table.values()), default=0)

    def mean(self, key: str) -> float:
        """Over the tables; NaN where there are none."""
        values = [figures[key] for figures in self.tables.values()]
        return float(np.mean(values)) if values else float("nan")

    def lines(self) -> list[str]:
        """The table of the group."""
        if not self.tables:
            return []
        keys = [*next(iter(self.tables.values()))]
        keys = ["ours", *[key for key in ("−log p",) if key in keys], *PEERS, "seconds"]
        rows = [(name, *(_shown(f[key]) for key in keys)) for name, f in self.tables.items()]
        rows.append(("**mean**", *(_shown(self.mean(key)) for key in keys)))
        return [f"## {self.title}, {self.seeds} seeds", "", *table(("table", *keys), rows)]


def groups(results: Sequence[Result], digests: Mapping[str, str]) -> dict[str, Group]:
    """The groups of results that bars are about."""
    odd = names_of("oddbench")
    parts: dict[str, tuple[str, list[Result]]] = {
        "clean": ("ADBench, normal rows train", []),
        "contaminated": ("ADBench, all rows train", []),
        "chosen": (f"OddBench, the first {CHOSEN_ON}, on which choices were made", []),
        "others": (f"OddBench, the other {len(odd) - CHOSEN_ON}", []),
    }
    for result in results:
        task = result["task"]
        kind = task["configuration"]
        if task["group"] == "oddbench":
            kind = "chosen" if odd.index(task["name"]) < CHOSEN_ON else "others"
        parts[kind][1].append(result)
    return {kind: Group(title, each, digests) for kind, (title, each) in parts.items()}


def bars(results: Sequence[Result], digests: Mapping[str, str]) -> list[Bar]:
    """What the figures must reach, in % of AUROC; of groups without results, nothing."""
    g = groups(results, digests)
    found = []
    if g["clean"].tables:
        gap = g["clean"].mean("ours") - g["clean"].mean("kNN")
        found.append(Bar("ADBench, clean: ours less kNN", gap, -0.3, floor=True))
        found.append(Bar("ADBench, clean: −log p", g["clean"].mean("−log p"), 92.5, floor=True))
    if g["contaminated"].tables:
        ours = g["contaminated"].mean("ours")
        found.append(Bar("ADBench, contaminated: ours", ours, 88.0, floor=True))
    for kind, least in (("chosen", 1.0), ("others", 0.0)):
        if g[kind].tables:
            gap = g[kind].mean("ours") - g[kind].mean("kNN")
            found.append(Bar(f"{g[kind].title}: ours less kNN", gap, least, floor=True))
    slowest = max((o["seconds"] for each in g.values() for o in each.ours), default=0.0)
    found.append(Bar("slowest fit with calibration, CPU seconds", slowest, 240.0))
    alarms = _alarms([o for each in g.values() for o in each.ours])
    found.append(Bar("counts of false alarms above their intervals", alarms["above"], 0.0))
    return found


def page(results: Sequence[Result], digests: Mapping[str, str]) -> str:
    """The page in Markdown."""
    g = groups(results, digests)
    runs = {d for each in results if _is_other(each) for d in each["ours"]}
    alarms = _alarms([o for each in g.values() for o in each.ours])
    lines = [
        "# Detectors of anomalies",
        "",
        "AUROC in %, mean over seeds; `make bench-anomaly`. Peers see columns standardised by the "
        "training rows: kNN (mean of 5), Isolation Forest, a mixture of 10 normals, LOF (20), ECOD "
        "and MCD, scikit-learn where it has them. Of ADBench at most 10,000 rows; where normals "
        "train, half of them, and all other rows are scored; where all rows train, each is scored "
        "by what did not see it (ours; kNN and LOF leave the row out). Seconds of CPU are of our "
        "fit with its calibration.",
        "",
        f"The last {len(names_of('oddbench')) - CHOSEN_ON} tables of OddBench were scored with "
        f"{len(runs)} configurations, each fixed before.",
        "",
    ]
    for each in g.values():
        lines += [*each.lines(), ""]
    lines += [
        f"False alarms at {' and '.join(f'{100 * each:g} %' for each in LEVELS)} on normal rows, "
        f"of tables with at least {MIN_CALIBRATION} rows: "
        + ", ".join(f"{100 * share:.2f} %" for share in alarms["shares"])
        + f"; of {alarms['count']} counts {alarms['above']} are above their beta-binomial interval "
        f"({100 * CONFIDENCE:g} % for all together) and {alarms['below']} below.",
        "",
    ]
    return "\n".join(lines)


def _alarms(ours: Sequence[Result]) -> dict[str, Any]:
    """False alarms beside their beta-binomial intervals (Bonferroni)."""
    counted = [o for o in ours if o.get("calibration", 0) >= MIN_CALIBRATION]
    above = below = 0
    tail = (1 - CONFIDENCE) / max(1, 2 * len(LEVELS) * len(counted))
    shares = []
    for level in LEVELS:
        for o in counted:
            a = int(level * (o["calibration"] + 1))
            law = betabinom(o["normal"], a, o["calibration"] + 1 - a)
            count = o["alarms"][str(level)]
            above += bool(law.sf(count - 1) < tail)
            below += bool(law.cdf(count) < tail)
        shares.append(
            float(np.mean([o["alarms"][str(level)] / o["normal"] for o in counted]))
            if counted
            else float("nan")
        )
    return {"above": above, "below": below, "count": len(LEVELS) * len(counted), "shares": shares}


def _is_other(result: Result) -> bool:
    task = result["task"]
    odd = names_of("oddbench")
    return task["group"] == "oddbench" and odd.index(task["name"]) >= CHOSEN_ON


def _shown(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.1f}"
