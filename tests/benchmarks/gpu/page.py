"""The Markdown page of what was found on a GPU."""

from typing import Any

from tests.benchmarks.common.bar import Bar, figure
from tests.benchmarks.common.markdown import table
from tests.benchmarks.gpu.speed import COMPILED, EAGER, ENGINE, HTTP, LOOP, NO_GRAPHS, STAYS
from tests.benchmarks.gpu.steps import Steps
from training.export.verify import BARS

SIDES = (LOOP, STAYS, ENGINE, NO_GRAPHS, HTTP, EAGER, COMPILED)


def page(steps: Steps, reached: list[Bar]) -> str:
    """The page of both halves, as far as they have come."""
    found, machine = steps.found, steps.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.items() if name != "gpu")
    lines = [
        f"# On {machine['gpu']}",
        "",
        f"Made by `make gpu-check` with {versions}.",
        "",
        "## Agreement with the CPU",
        "",
        "Largest differences of what a request is answered: log_prob in nats per dimension, x and",
        "z as a part of their range (1 at least). Bars: "
        + ", ".join(f"{what} {bar:g}" for what, bar in BARS.items())
        + ", those of an export.",
        "",
        *table(("bundle", *BARS), _agreement(found)),
        *_memory(found),
        "## Rows a second",
        "",
        "From the host's memory and back to it, unless it says otherwise. HTTP has eight",
        "connections; `/sample` draws its noise on the host, and is compared with decode.",
        "",
        *table(("model", "graph", "rows", *SIDES), _rates(found)),
        *_training(found),
        *_bars(reached, steps.errors),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _agreement(found: dict[str, Any]) -> list[list[str]]:
    return [
        [name.removeprefix("agree "), *(f"{said[what]:.1e}" for what in BARS)]
        for name, said in found.items()
        if name.startswith("agree ") and "error" not in said
    ]


def _memory(found: dict[str, Any]) -> list[str]:
    if "course" not in (said := found.get("memory", {})):
        return []
    mib = ", ".join(f"{used / 2**20:,.0f}" for used in said["course"])
    return [f"Memory in use over {said['batches']:,} batches of random size, MiB: {mib}.", ""]


def _rates(found: dict[str, Any]) -> list[list[str]]:
    cells: dict[tuple[str, str, str], dict[str, float]] = {}
    for name, said in found.items():
        kind, *what = name.split(" ")
        if kind in ("graph", "http", "torch") and "error" not in said:
            model, graph, rows = what
            cells.setdefault((model, graph, rows), {}).update(said)
    return [
        [*key, *(figure(said[side]) if side in said else "" for side in SIDES)]
        for key, said in sorted(cells.items(), key=lambda cell: (*cell[0][:2], int(cell[0][2])))
    ]


def _training(found: dict[str, Any]) -> list[str]:
    rates = {
        name: figure(said["steps a second"])
        for name, said in found.items()
        if name.startswith("training") and "error" not in said
    }
    if not rates:
        return []
    said = "; ".join(f"{name}: {rate}" for name, rate in rates.items())
    return ["Steps a second of the model of BSDS300, 1,024 rows each: " + said + ".", ""]


def _bars(reached: list[Bar], errors: dict[str, str]) -> list[str]:
    missed = [f"- **missed** {bar}" for bar in reached if not bar.held]
    failed = [f"- **failed** {name}: {error}" for name, error in errors.items()]
    held = sum(bar.held for bar in reached)
    return ["## Bars", "", f"{held} of {len(reached)} are held.", "", *missed, *failed]
