"""What the attacks did, as a page and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.hostile.measure import GRACE_SECONDS, MAX_MEMORY, MAX_P99_SECONDS, Result

COLUMNS = (
    "attacker",
    "line",
    "p50, ms",
    "p99, ms",
    "max, ms",
    "peak over idle, MB",
    "SIGTERM, s",
    "log lines",
    "holds",
)


def write(folder: Path, name: str, title: str, results: Sequence[Result]) -> None:
    """Write folder/<name>.json and folder/<name>.md."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = [result.as_json() for result in results]
    (folder / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    (folder / f"{name}.md").write_text("\n".join(_page(title, results)))


def row(result: Result) -> list[str]:
    """A line of the table."""
    return [
        result.name,
        result.line,
        *(f"{1000 * value:.0f}" for value in (result.p50, result.p99, result.worst)),
        f"{(result.peak - result.idle) / 1e6:.0f}",
        f"{result.stop:.1f}",
        str(result.lines),
        "no" if result.failures else "yes",
    ]


def _page(title: str, results: Sequence[Result]) -> list[str]:
    broken = [result for result in results if result.failures]
    return [
        f"# {title}",
        "",
        f"{len(results)} attackers, {len(broken)} of which got more than they may: p99 of a good "
        f"client's requests below {1000 * MAX_P99_SECONDS:.0f} ms, the server's peak less than "
        f"{MAX_MEMORY / 1e9:.0f} GB above its idle size, SIGTERM in the midst of the attack heard "
        f"within the grace (`--stop-seconds {GRACE_SECONDS}`), every good request answered, no "
        f"500, no traceback, a bounded log. {cpu_name()}.",
        "",
        *table(COLUMNS, map(row, results)),
        *(f"- **{one.name}** ({one.guards}): {'; '.join(one.failures)}" for one in broken),
        "",
    ]
