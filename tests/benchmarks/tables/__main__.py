"""`bijecta fit` on tables as people have them, one after another.

    python -m tests.benchmarks.tables [--only NAME …] [--again] [--minutes 5] [--work FOLDER]

Goes on where it was: results/tables.json has a result of each table that was fitted, and a table is
fitted again only with `--again`. The page is results/tables.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from tests.benchmarks.common.bar import add_results_option
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.tables.data import tables

# Columns may be left out for these reasons alone.
REASONS = ("constant", "identifier", "copy")


def main() -> None:
    """Fit what has no result yet, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tables")
    parser.add_argument("--only", nargs="*", help="names, or beginnings of them")
    parser.add_argument("--again", action="store_true", help="fit those that have a result too")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--work", type=Path, default=Path("runs/bench-tables"))
    add_results_option(parser)
    arguments = parser.parse_args()
    work, file = arguments.work, arguments.results / "tables.json"
    results = {r["name"]: r for r in json.loads(file.read_text())} if file.exists() else {}
    for name, (group, write) in tables().items():
        wanted = not arguments.only or name.startswith(tuple(arguments.only))
        if not wanted or (name in results and not arguments.again):
            continue
        folder = work / "tables" / name
        folder.mkdir(parents=True, exist_ok=True)
        fitted = _fit(write(folder), name, work, arguments.minutes)
        results[name] = {"name": name, "group": group, "day": str(date.today())} | fitted
        print(_line(results[name]), flush=True)
        file.write_text(json.dumps(list(results.values()), indent=2) + "\n")
    page = "\n".join(_page(list(results.values()), arguments.minutes))
    (arguments.results / "tables.md").write_text(page)
    print(page)


def _fit(path: Path, name: str, work: Path, minutes: float) -> dict[str, Any]:
    """Fit a table as a user would, and gather what the command left."""
    run, store = work / "runs" / name, work / "store"
    command = ["-m", "service.cli", "fit", str(path), "--name", name, "--store", str(store)]
    command += ["--out", str(run), "--minutes", f"{minutes:g}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, env=os.environ
    )
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result: dict[str, Any] = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
    if done.returncode:
        return result | {"failed": done.stderr.splitlines()[-1:], "output": done.stdout[-2000:]}
    newest = max((store / name).iterdir(), key=lambda path: int(path.name))
    manifest = json.loads((newest / "manifest.json").read_text())
    return result | {
        "rows": json.loads((run / "run.json").read_text())["flow"]["rows"],
        "columns": [column["kind"] for column in manifest["columns"]],
        "left_out": [{k: c[k] for k in ("name", "reason")} for c in manifest["left_out"]],
        "held_out": manifest["held_out"],
        "tolerances": manifest["tolerances"],
        "selection": json.loads((run / "selection.json").read_text()),
        "bytes": sum(each.stat().st_size for each in (store / name).rglob("*.onnx")),
    }


def _line(result: dict[str, Any]) -> str:
    if "failed" in result:
        return f"{result['name']}: FAILED after {result['seconds']} s: {result['failed']}"
    gain = result["held_out"]["gain"]
    return (
        f"{result['name']}: {result['seconds']} s, "
        f"gain {gain['mean']:.3f} ± {gain['se']:.3f} nats, {result['selection']['chosen']}"
    )


def _page(results: list[dict[str, Any]], minutes: float) -> list[str]:
    fitted = [each for each in results if "failed" not in each]
    odd = [each for each in fitted if each["group"] == "oddbench"]
    beaten = sum(_is_beaten(each) for each in odd)
    longest, most = (
        max((each[key] for each in results), default=0) for key in ("seconds", "cpu_seconds")
    )
    lines = [
        "# Tables as people have them",
        "",
        f"`bijecta fit TABLE --minutes {minutes:g}` with no recipe, {cpu_name()}, "
        f"{os.cpu_count()} cores; `make bench-tables`.",
        "",
        f"{len(fitted)} of {len(results)} tables are fitted; of {len(odd)} OddBench tables "
        f"{beaten} are better than independent columns by more than two standard errors; the "
        f"longest took {longest:.0f} s; the one that computed most, {most:.0f} CPU seconds.",
        "",
        "Nats per held-out row; *gain* is over independent columns, row by row.",
        "",
    ]
    rows = [
        (
            each["name"],
            str(each["rows"]),
            str(len(each["columns"])),
            ", ".join(f"{c['name']} ({c['reason']})" for c in each["left_out"]) or "–",
            f"{each['held_out']['log_prob']:.2f} ± {each['held_out']['se']:.2f}",
            f"{each['held_out']['gain']['mean']:.2f} ± {each['held_out']['gain']['se']:.2f}",
            each["selection"]["chosen"],
            f"{each['seconds']:.0f}",
            f"{each['cpu_seconds']:.0f}",
        )
        for each in fitted
    ]
    names = (
        "table",
        "training rows",
        "columns",
        "left out",
        "held-out",
        "gain",
        "chosen",
        "s",
        "CPU s",
    )
    lines += table(names, rows)
    failed = [each for each in results if "failed" in each]
    lines += [f"- {each['name']} failed: {each['failed']}" for each in failed]
    wrong = [
        f"- {each['name']} leaves {column['name']} out: {column['reason']}"
        for each in fitted
        for column in each["left_out"]
        if column["reason"] not in REASONS
    ]
    return [*lines, *wrong, ""]


def _is_beaten(result: dict[str, Any]) -> bool:
    gain = result["held_out"]["gain"]
    return bool(gain["mean"] > 2 * gain["se"])


main()
