"""What the loads found, and the bars that it must reach."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.common.bar import Bar
from tests.benchmarks.serving.load_plan import BROKEN, UNANSWERED, WRONG_LENGTH, Plan, Summary

# Of the one core that it has; beyond, it may not keep to its schedule.
GENERATOR_CORES = 0.9
# Of the generator, 99th percentile: it looks at its schedule every millisecond.
LATE_SECONDS = 0.01
REFUSAL_SECONDS = 0.05
IDLE_CORES = 0.01
MEMORY = 250e6
# Shares of capacity that are more than there is, and the goodput wanted of small requests.
OVERLOADS = {1.2: 0.75, 2.0: 0.6}

Records = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Figures:
    """One load; seconds, and requests a second.

    Args:
        share: of capacity that was offered; 0 for the closed loop that measures capacity.
        offered: requests that were to be sent.
        goodput: answers with 200 that came within the time measured.
        latency: of answered requests, from the time intended, by percentile.
        answered, refused: requests meant for the time measured, by what became of them.
        unanswered: those with no answer seconds after the end, most of them never sent.
        failed: those with any other answer, or a wrong one, or with a connection that broke.
        refusal, refusal_intended: seconds until a refusal, from sending and from the time
            intended, by percentile.
        late: 99th percentile of the time from intended to sent.
        starved: requests that found no connection free.
        cores: of the generator, the larger of the time measured and the whole load.
        server_cores: of the server.
        cpu: of the generator, for a request.
        resident: bytes of the server afterwards.
        connections: open at the end.
        worst: nats by which a checked answer was off at most.
        checked: how many answers were.
    """

    share: float
    offered: float
    goodput: float
    latency: dict[str, float]
    answered: int
    refused: int
    unanswered: int
    failed: int
    refusal: dict[str, float]
    refusal_intended: dict[str, float]
    late: float
    starved: int
    cores: float
    server_cores: float
    cpu: float
    resident: int
    connections: int
    worst: float
    checked: int

    @property
    def keeps_to_schedule(self) -> bool:
        """Whether the generator sent what it was to send, when it was to; a closed loop always."""
        return self.share == 0 or (self.starved == 0 and self.late <= LATE_SECONDS)


@dataclass(frozen=True)
class Result:
    """One model, one kind of request.

    Args:
        dimensions, rows: see `Requests`.
        model_bytes: of the files that the server has loaded.
        closed: what capacity is taken from.
        loads: the open loops.
        idle_cores: of the server with nothing to do, afterwards.
        idle_resident: bytes of the server then.
    """

    dimensions: int
    rows: int
    model_bytes: int
    closed: Figures
    loads: list[Figures] = field(default_factory=list)
    idle_cores: float = float("nan")
    idle_resident: int = 0

    @property
    def capacity(self) -> float:
        """Requests a second."""
        return self.closed.goodput

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.dimensions}-D, {self.rows} row{'s' * (self.rows > 1)} in npy"


def figures(
    plan: Plan,
    share: float,
    records: Records,
    summary: Summary,
    resident: int,
    check: tuple[float, int],
) -> Figures:
    """Take the records of a load apart.

    Args:
        plan: of the load.
        share: of capacity that was offered.
        records: see `load_generator`.
        summary: likewise.
        resident: bytes of the server afterwards.
        check: nats by which the worst of the checked answers was off, and how many there were.
    """
    intended, sent, ended = (records[name] for name in ("intended", "sent", "ended"))
    status = records["status"]
    seconds = summary.end - summary.start
    meant = (intended >= summary.start) & (intended < summary.end)
    came = (ended >= summary.start) & (ended < summary.end)
    answered, refused, unanswered = (meant & (status == code) for code in (200, 429, UNANSWERED))
    failed = meant & ~answered & ~refused & ~unanswered
    if not plan.rate:
        unanswered[:] = False  # a closed loop stops with all its connections at work
    sending = meant & (sent > 0)
    good = int((came & (status == 200)).sum())
    wrong = int(((status == BROKEN) | (status == WRONG_LENGTH)).sum())
    done = int((came & (status > WRONG_LENGTH)).sum())
    return Figures(
        share=share,
        offered=float(meant.sum()) / seconds,
        goodput=good / seconds,
        latency=percentiles((ended - intended)[answered]),
        answered=int(answered.sum()),
        refused=int(refused.sum()),
        unanswered=int(unanswered.sum()),
        failed=max(int(failed.sum()), wrong),
        refusal=percentiles((ended - sent)[refused]),
        refusal_intended=percentiles((ended - intended)[refused]),
        late=percentiles((sent - intended)[sending]).get("p99", float("nan")),
        starved=summary.starved,
        cores=max(summary.cores, summary.all_cores),
        server_cores=summary.server_cores,
        cpu=summary.cores * seconds / max(done, 1),
        resident=resident,
        connections=summary.connections,
        worst=check[0],
        checked=check[1],
    )


def percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    """The median, high percentiles and the maximum; empty where there is nothing."""
    if not len(values):
        return {}
    names = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    return {name: float(np.percentile(values, at)) for name, at in names.items()}


def bars(result: Result) -> Iterator[Bar]:
    """The bars of a model."""
    name, loads = result.name, result.loads
    large = result.rows > 1
    for share, goodput in OVERLOADS.items():
        (load,) = (each for each in loads if each.share == share)
        what = f"{name}: goodput at {share:.0%}, of capacity"
        yield Bar(what, load.goodput / result.capacity, 0.9 if large else goodput, floor=True)
    what = f"{name}: requests that were answered wrong, or refused with anything but 429"
    yield Bar(what, sum(load.failed for load in [result.closed, *loads]), 0)
    yield Bar(f"{name}: requests never answered", sum(load.unanswered for load in loads), 0)
    refusals = [load.refusal["max"] for load in loads if load.refused]
    what = f"{name}: slowest refusal in ms, from sending"
    yield Bar(what, 1e3 * max(refusals, default=0.0), 1e3 * REFUSAL_SECONDS)
    what = f"{name}: loads in which the generator did not keep to its schedule"
    yield Bar(what, sum(not load.keeps_to_schedule for load in loads), 0)
    what = f"{name}: cores of the generator, at most"
    yield Bar(what, max(load.cores for load in loads), GENERATOR_CORES)
    yield Bar(f"{name}: cores of the idle server", result.idle_cores, IDLE_CORES)
    most = max(result.idle_resident, *(load.resident for load in [result.closed, *loads]))
    what = f"{name}: MB of the server after load, beyond the model's files"
    yield Bar(what, (most - result.model_bytes) / 1e6, MEMORY / 1e6)
