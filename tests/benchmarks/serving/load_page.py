"""The Markdown page of the loads."""

from collections.abc import Sequence

from tests.benchmarks.common.bar import Bar, figure
from tests.benchmarks.common.markdown import table
from tests.benchmarks.serving.load_result import LATE_SECONDS, Figures, Result

COLUMNS = (
    "offered, of capacity",
    "offered/s",
    "goodput/s",
    "of capacity",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "refused",
    "refusal p99 ms",
    "refusal max ms",
    "never answered",
    "failed",
    "generator cores",
    "server cores",
    "server MiB",
)


def page(results: Sequence[Result], reached: Sequence[Bar], made: str, seconds: float) -> str:
    """The page.

    Args:
        results: by model.
        reached: the bars, reached or missed.
        made: on what, and with what.
        seconds: for which each load was measured.
    """
    lines = [
        "# Our server under load",
        "",
        f"Made by `make bench-load` on {made}.",
        "",
        "One server process on one core, at its defaults but for the connections that it takes",
        "(8192), and one generator process on the other core. Capacity is what",
        "a closed loop of 64 connections gets. Then requests come at random (Poisson) at a fixed",
        f"rate, whatever the server does, {seconds:g} s each. Latency is that of requests answered",
        "with 200 and counts from the time at which a request was to be sent, so that it includes",
        "the time that one waits in the generator for a connection. Goodput is those answers a",
        "second. Refusals (429) are timed from sending. Never answered are requests that had no",
        "answer ten seconds after the end; failed are those with a wrong one, any other status,",
        "or a connection that broke.",
        "",
    ]
    for result in results:
        lines += _model(result)
    lines += [
        "A load counts only where the generator kept to its schedule: it sent 99 % within",
        f"{1e3 * LATE_SECONDS:g} ms of the time intended, and each request found a connection.",
        "Bars:",
        "",
    ]
    lines += [f"- {'' if bar.held else '**missed** '}{bar}" for bar in reached]
    return "\n".join(lines) + "\n"


def _model(result: Result) -> list[str]:
    closed, loads = result.closed, result.loads
    every = [closed, *loads]
    return [
        f"## {result.name}",
        "",
        f"Capacity {figure(closed.goodput)} requests/s ({figure(closed.goodput * result.rows)}",
        f"rows/s), at p50 {_ms(closed.latency, 'p50')} ms and p99 {_ms(closed.latency, 'p99')} ms.",
        "",
        *table(COLUMNS, [_row(load, result.capacity) for load in loads]),
        f"{sum(load.checked for load in every):,} answers, before, during and after the loads,",
        f"are off onnxruntime's own by {max(load.worst for load in every):.1e} nats at most. The",
        f"generator took {_range([1e6 * load.cpu for load in every])} µs of CPU for a request, and",
        f"sent 99 % within {_range([1e3 * load.late for load in loads])} ms of the time intended.",
        f"Afterwards the idle server used {100 * result.idle_cores:.2f} % of a core, and",
        f"{result.idle_resident / 1e6:.0f} MB of memory; its model's files are",
        f"{result.model_bytes / 1e6:.1f} MB.",
        "",
    ]


def _row(load: Figures, capacity: float) -> list[str]:
    return [
        f"{load.share:.0%}",
        figure(load.offered),
        figure(load.goodput),
        f"{load.goodput / capacity:.0%}",
        *(_ms(load.latency, at) for at in ("p50", "p99", "p99.9")),
        f"{load.refused:,}",
        *(_ms(load.refusal, at) for at in ("p99", "max")),
        f"{load.unanswered:,}",
        f"{load.failed:,}",
        f"{load.cores:.2f}",
        f"{load.server_cores:.2f}",
        f"{load.resident / 2**20:.0f}",
    ]


def _ms(seconds: dict[str, float], at: str) -> str:
    return figure(1e3 * seconds[at]) if seconds else ""


def _range(values: Sequence[float]) -> str:
    return f"{figure(min(values))}–{figure(max(values))}"
