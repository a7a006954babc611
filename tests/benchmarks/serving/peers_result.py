"""What a comparison of servers found, and the bars that it must reach.

A line is what ../shared/bench/serving/run.py prints for one server, protocol, number of rows and
number of connections. Ratios are taken within a round, between servers that were measured a few
minutes apart, and it is their median over the rounds that has to reach a bar.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.common.bar import Bar

OURS, OURS_V2, RAW = "ours", "ours-v2", "raw"
BARE = ("fastapi-inline", "fastapi-2w")
SERVERS = ("pytriton", "mlserver", "litserve-fast")
PEERS = (RAW, *BARE, *SERVERS)
MEMORY = 250e6

JSON = ("json", "v2json")
BINARY = ("npy", "v2bin", "bin")

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """A kind of request: its format, rows, and connections at a time."""

    formats: tuple[str, ...]
    rows: int
    connections: int

    def __str__(self) -> str:
        format_name = "JSON" if self.formats == JSON else "binary"
        plural = "s" * (self.connections > 1)
        rows = f"{self.rows} row{'s' * (self.rows > 1)}"
        return f"{rows}, {format_name}, {self.connections} connection{plural}"


CASES = tuple(
    Case(formats, rows, connections)
    for rows, connections in ((1, 64), (32, 64), (1, 1))
    for formats in (JSON, BINARY)
)


@dataclass(frozen=True)
class Result:
    """One model.

    Args:
        dimensions: of a row.
        model_bytes: of the files that our server has loaded.
        lines: as run.py prints them, with the number of the round.
    """

    dimensions: int
    model_bytes: int
    lines: Sequence[Line]

    @property
    def rounds(self) -> list[int]:
        """Their numbers."""
        return sorted({line["round"] for line in self.lines})

    @property
    def errors(self) -> list[str]:
        """What went wrong, if anything did."""
        return [
            f"{self.dimensions}-D, {line['peer']}, round {line['round']}: {line['error']}"
            for line in self.lines
            if "error" in line
        ]

    def of(self, case: Case) -> dict[tuple[str, str], list[Line]]:
        """The lines of a case by server and protocol."""
        found: dict[tuple[str, str], list[Line]] = {}
        for line in self.lines:
            if line["peer"] == RAW or "error" in line or line["proto"] not in case.formats:
                continue
            if (line["rows"], line["conns"]) == (case.rows, case.connections):
                found.setdefault((line["peer"], line["proto"]), []).append(line)
        return found

    def raw(self, round_: int) -> float:
        """Rows a second of onnxruntime's own loop, at its best batch and number of threads."""
        lines = [n for n in self.lines if n["peer"] == RAW and n["round"] == round_]
        return max((line["rows_s"] for line in lines if "error" not in line), default=math.nan)

    def best(
        self,
        case: Case,
        servers: Sequence[str],
        figure: str,
        round_: int,
        least: bool = False,
    ) -> float:
        """The best figure of some servers in a round; NaN where there is none."""
        found = [
            float(line[figure])
            for (server, _), lines in self.of(case).items()
            for line in lines
            # a run too short for a single answer has no figures
            if server in servers and line["round"] == round_ and line["req_s"]
        ]
        return (min if least else max)(found) if found else math.nan

    def ratios(
        self, case: Case, servers: Sequence[str], figure: str, least: bool = False
    ) -> list[float]:
        """Ours, in times of the best of some servers, by round."""
        return [
            self.best(case, (OURS, OURS_V2), figure, round_, least)
            / self.best(case, servers, figure, round_, least)
            for round_ in self.rounds
        ]

    def shares_of_raw(self, case: Case) -> list[float]:
        """Our rows a second, in times of onnxruntime's own, by round."""
        ours = (OURS, OURS_V2)
        return [self.best(case, ours, "rows_s", r) / self.raw(r) for r in self.rounds]

    @property
    def memory(self) -> float:
        """The most bytes that our server had, beyond the model's files."""
        most = [
            line["rss_mib"]
            for line in self.lines
            if line["peer"] in (OURS, OURS_V2) and "rss_mib" in line
        ]
        return max(most, default=math.nan) * 2**20 - self.model_bytes


def bars(result: Result) -> Iterator[Bar]:
    """The bars of a model."""
    name = f"{result.dimensions}-D"

    def floor(what: str, ratios: list[float], limit: float) -> Bar:
        return Bar(f"{name}, {what}{_rounds(ratios)}", _median(ratios), limit, floor=True)

    def ceiling(what: str, ratios: list[float], limit: float) -> Bar:
        return Bar(f"{name}, {what}{_rounds(ratios)}", _median(ratios), limit)

    yield from (_small if result.dimensions < 100 else _large)(result, floor, ceiling)
    many = Case(BINARY, 32, 64)
    what = f"{many}: rows/s, in times of onnxruntime's own loop's at its best"
    yield floor(what, result.shares_of_raw(many), 0.75)
    what = f"{name}: MB of our server, beyond the model's files"
    yield Bar(what, result.memory / 1e6, MEMORY / 1e6)
    yield Bar(f"{name}: servers that failed", len(result.errors), 0)


Make = Callable[[str, list[float], float], Bar]


def _small(result: Result, floor: Make, ceiling: Make) -> Iterator[Bar]:
    one, one_binary, many = (Case(JSON, 1, 64), Case(BINARY, 1, 64), Case(JSON, 32, 64))
    triton, bare = ("pytriton",), ("fastapi-2w",)
    what = f"{one}: requests/s, in times of"
    yield floor(f"{what} pytriton's", result.ratios(one, triton, "req_s"), 2)
    yield floor(f"{what} fastapi-2w's", result.ratios(one, bare, "req_s"), 1)
    p99 = result.ratios(one, triton, "p99_ms", least=True)
    yield ceiling(f"{one}: p99, in times of pytriton's", p99, 1)
    what = f"{one_binary}: requests/s, in times of fastapi-2w's"
    yield floor(what, result.ratios(one_binary, bare, "req_s"), 1.2)
    for formats in (JSON, BINARY):
        alone = Case(formats, 1, 1)
        p50 = result.ratios(alone, ("fastapi-inline",), "p50_ms", least=True)
        yield ceiling(f"{alone}: p50, in times of fastapi-inline's", p50, 1.3)
    what = f"{many}: rows/s, in times of the best of {', '.join(SERVERS)}"
    yield floor(what, result.ratios(many, SERVERS, "rows_s"), 1.2)


def _large(result: Result, floor: Make, _: Make) -> Iterator[Bar]:
    one = Case(JSON, 1, 64)
    what = f"{one}: requests/s, in times of pytriton's"
    yield floor(what, result.ratios(one, ("pytriton",), "req_s"), 1.6)


def _median(ratios: Sequence[float]) -> float:
    # the median of what holds a NaN is anything
    return math.nan if any(map(math.isnan, ratios)) or not ratios else statistics.median(ratios)


def _rounds(ratios: Sequence[float]) -> str:
    return f" (by round {', '.join(f'{ratio:.3g}' for ratio in ratios)})"
