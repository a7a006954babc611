"""The page of `make bench-export`."""

from collections.abc import Mapping, Sequence

from tests.benchmarks.common.bar import figure
from tests.benchmarks.common.markdown import table
from tests.benchmarks.exports.rows import (
    AFTER,
    BASE,
    MAX_BYTES,
    MAX_RATIO,
    MAX_SECONDS,
    OURS,
    WITHOUT,
    Busy,
    Row,
    State,
)

# CPUs that others may use while an export runs on a machine that is called quiet.
QUIET_CPUS = 0.1

TITLES: dict[State, str] = {
    AFTER: "After `train`, which has kept evaluation, calibration and fidelity",
    WITHOUT: "Without: all of them are measured by the export",
}


def page(rows: Sequence[Row], busy: Sequence[Busy], skipped: Mapping[str, str], how: str) -> str:
    """The page in Markdown.

    Args:
        rows: exports.
        busy: exports beside a busy process.
        skipped: recipes that were not measured, and why.
        how: the machine and the versions.
    """
    others = max((row.cost.others for row in rows), default=0)
    lines = [
        "# Exports",
        "",
        f"Made by `make bench-export` on {how}.",
        "",
        "Each line is one `bijecta export` as a process of its own: seconds from its start to its",
        "end, seconds of CPU time, and the most memory that it had, in GB (10⁹ bytes). Runs are",
        "of the recipe's whole architecture and data, with the weights of a few steps.",
        "*Others* is how many CPUs were busy with something else meanwhile.",
        "",
    ]
    if others > QUIET_CPUS:
        lines += [
            f"**The machine did other work meanwhile, on up to {others:.1f} CPUs**: seconds are",
            "not those of a quiet machine. A bar is compared with the smaller one of seconds and",
            "CPU seconds.",
            "",
        ]
    for state, title in TITLES.items():
        of_state = [row for row in rows if row.state == state]
        if of_state:
            lines += [f"## {title}", "", _limits(state), "", *_exports(of_state)]
    if busy:
        lines += ["## Beside a busy process", "", *_busy(busy)]
    if skipped:
        lines += ["## Not measured", ""]
        lines += [f"- {name}: {why}" for name, why in skipped.items()]
    return "\n".join(lines).rstrip() + "\n"


def _limits(state: State) -> str:
    memory = f" and {MAX_BYTES / 1e9:g} GB" if state == AFTER else ""
    return f"At most {MAX_SECONDS[state]:g} seconds{memory} are wanted; bold is beyond."


def _exports(rows: Sequence[Row]) -> list[str]:
    ours = {row.recipe: row for row in rows if row.side == OURS}
    base = {row.recipe: row for row in rows if row.side == BASE}
    columns = ["recipe", "arithmetic", "seconds", "CPU seconds", "GB", "others", "commit"]
    if base:
        columns += ["base, seconds", "base, CPU seconds", "base, GB", "base", "CPU time, to base"]
    lines = []
    for name, row in ours.items():
        line = [name, row.arithmetic or f"failed: {row.failed}", *_figures(row)]
        line += [f"{row.cost.others:.1f}", row.commit]
        if name in base:
            other = base[name]
            line += [*_figures(other), other.failed or other.commit, _ratio(row, other)]
        elif base:
            line += [""] * 5
        lines.append(line)
    return table(columns, lines)


def _figures(row: Row) -> list[str]:
    cost = row.cost
    late = row.seconds > MAX_SECONDS[row.state]
    large = row.state == AFTER and cost.peak > MAX_BYTES
    return [
        _bold(figure(cost.wall), late),
        _bold(figure(cost.cpu), late),
        _bold(f"{cost.peak / 1e9:.2f}", large),
    ]


def _bold(text: str, is_beyond: bool) -> str:
    return f"**{text}**" if is_beyond else text


def _ratio(ours: Row, base: Row) -> str:
    """CPU time in times of the base's; a base that was ended took more."""
    if ours.failed:
        return ""
    return f"{'< ' if base.failed else ''}{ours.cost.cpu / base.cost.cpu:.2f}"


def _busy(busy: Sequence[Busy]) -> list[str]:
    lines = [
        (
            each.recipe,
            _span(each.alone),
            _span(each.beside),
            f"{_bold(f'{each.ratio:.2f}', each.ratio > MAX_RATIO)} "
            f"({min(each.ratios):.2f} to {max(each.ratios):.2f})",
            each.commit,
        )
        for each in busy
    ]
    return [
        "CPU seconds of an export after `train`, alone and beside a process that computes all the",
        "time in one thread, in turns: least to most, and the median of the pairs' ratios with",
        f"their least and most. At most {MAX_RATIO:g} is wanted.",
        "",
        *table(("recipe", "alone", "beside", "ratio", "commit"), lines),
    ]


def _span(seconds: Sequence[float]) -> str:
    return f"{figure(min(seconds))} to {figure(max(seconds))}"
