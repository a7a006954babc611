"""The Markdown page of the comparison of servers."""

import statistics
from collections.abc import Sequence

from tests.benchmarks.common.bar import Bar, figure
from tests.benchmarks.common.markdown import table
from tests.benchmarks.serving.peers_result import (
    BARE,
    CASES,
    JSON,
    OURS,
    OURS_V2,
    RAW,
    SERVERS,
    Case,
    Line,
    Result,
)

COLUMNS = (
    "D",
    "case",
    "server",
    "protocol",
    "requests/s",
    "rows/s",
    "p50 ms",
    "p99 ms",
    "µs of CPU a request",
    "server cores",
    "other cores",
    "errors",
)
ORDER = (OURS, OURS_V2, *SERVERS, *BARE)


def page(results: Sequence[Result], reached: Sequence[Bar], made: str) -> str:
    """The page.

    Args:
        results: by model.
        reached: the bars, reached or missed.
        made: on what, and with what.
    """
    rounds = max(len(result.rounds) for result in results)
    lines = [
        "# Our server beside others",
        "",
        f"Made by `make bench-peers` on {made}.",
        "",
        "One ONNX file, one machine, wrk with one thread. Every server answers log_prob alone; its",
        "answers are checked against onnxruntime before and after each load. Medians of",
        f"{rounds} rounds that visit every server, the least and the most in brackets.",
        "fastapi-inline is one bare FastAPI process, fastapi-2w is two of them; pytriton is Triton",
        "with the model in Python. Other cores are what the rest of the machine used meanwhile.",
        "",
        *table(
            COLUMNS,
            [row for result in results for case in CASES for row in _rows(result, case)],
        ),
    ]
    lines += [_raw(result) for result in results]
    lines += ["", *_bare(results), "", "Memory, all processes of a server, at most:", ""]
    lines += table(["server", *(f"{r.dimensions}-D, MiB" for r in results)], _memory(results))
    lines += [
        "Bars, ratios within a round, their median over the rounds; ours is the better of",
        "",
    ]
    lines[-2] += " npy and the Open Inference Protocol where both are binary:"
    lines += [f"- {'' if bar.held else '**missed** '}{bar}" for bar in reached]
    for error in (error for result in results for error in result.errors):
        lines += ["", f"Failed: {error}"]
    return "\n".join(lines) + "\n"


def _rows(result: Result, case: Case) -> list[list[str]]:
    found = sorted(result.of(case).items(), key=lambda item: ORDER.index(item[0][0]))
    return [
        [
            str(result.dimensions),
            str(case),
            server,
            protocol,
            *(_range(lines, name) for name in ("req_s", "rows_s", "p50_ms", "p99_ms")),
            *(_middle(lines, name) for name in ("cpu_us_per_req", "server_cores", "other_cores")),
            str(sum(line["non2xx"] + line["sockerr"] for line in lines)),
        ]
        for (server, protocol), lines in found
    ]


def _raw(result: Result) -> str:
    best = [result.raw(round_) for round_ in result.rounds]
    kinds = {
        (line["threads"], line["batch"]): line["rows_s"]
        for line in sorted(
            (n for n in result.lines if n["peer"] == RAW and "error" not in n),
            key=lambda line: float(line["rows_s"]),
        )
    }
    at = list(kinds)[-1] if kinds else ("?", "?")
    return (
        f"onnxruntime's own loop, at its best, does {figure(statistics.median(best))} rows/s at "
        f"{result.dimensions}-D (by round {', '.join(map(figure, best))}; the most with {at[0]} "
        f"threads and batches of {at[1]})."
    )


def _bare(results: Sequence[Result]) -> list[str]:
    many = Case(JSON, 32, 64)
    return [
        f"{result.dimensions}-D, {many}: our rows/s are "
        f"{figure(statistics.median(result.ratios(many, servers, 'rows_s')))} times those of the "
        f"best of {', '.join(servers)}."
        for result in results
        for servers in (SERVERS, BARE)
    ]


def _memory(results: Sequence[Result]) -> list[list[str]]:
    return [
        [
            server,
            *(
                figure(
                    max((n.get("rss_mib", 0) for n in r.lines if n["peer"] == server), default=0)
                )
                for r in results
            ),
        ]
        for server in ORDER
    ]


def _range(lines: Sequence[Line], name: str) -> str:
    values = [float(line[name]) for line in lines]
    return f"{figure(statistics.median(values))} ({figure(min(values))}–{figure(max(values))})"


def _middle(lines: Sequence[Line], name: str) -> str:
    return figure(statistics.median(float(line[name]) for line in lines))
