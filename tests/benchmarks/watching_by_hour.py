"""Streams with a daily course: false alarms and delays, by the hour and by none.

    python -m tests.benchmarks.watching_by_hour [--streams 1000]

Rows are made-up payments: five kinds, each with its usual hour, amount and share of cards. What
`bijecta fit-detector` writes of 20,000 rows of eight weeks is what rows are compared with.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.conformal import Calibration, column_urns, hour_classes
from service.types import Float64
from service.watching.drift import DriftTest
from service.watching.open_hours import Rows
from tests.benchmarks.common.markdown import table

PAGE = Path(__file__).parent / "results" / "watching_by_hour.md"
DAY, WEEKS, A_DAY, AFTER = 86400.0, 8, 357, 4000
COLUMNS = ["country", "category", "log amount", "age", "card"]
SHARES = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
MEDIANS, HOURS = np.array([28, 35, 60, 22, 340]), np.array([16, 19, 11, 14, 13])
CARDS = np.array([0.98, 0.9, 0.99, 0.3, 0.2])


def payments(
    random: np.random.Generator, first_day: int, rows: int, a_day: int
) -> tuple[Float64, Float64]:
    """Times in order, in seconds, and rows × columns."""
    kind = random.choice(len(SHARES), rows, p=SHARES)
    hour = np.clip(HOURS[kind] + 2 * random.normal(size=rows), 0, 23.99)
    times = DAY * (first_day + np.arange(rows) // a_day) + 3600 * hour
    x = np.column_stack(
        [
            random.choice(4, rows, p=[0.45, 0.25, 0.2, 0.1]),
            kind,
            np.log(MEDIANS[kind]) + 0.5 * random.normal(size=rows),
            np.where(random.random(rows) < 0.3, np.nan, 44 + 14 * random.normal(size=rows)),
            random.random(rows) < CARDS[kind],
        ]
    )
    order = np.argsort(times)
    return times[order], x[order]


def scores_of(times: Float64, x: Float64) -> Float64:
    """What is usual at noon is not at night."""
    hour = times % DAY / 3600
    return (x[:, 2] - 3.7) ** 2 / 2 + 3 * (x[:, 4] - 0.85) ** 2 + (hour - 15) ** 2 / 20


def new_test(random: np.random.Generator, by_hour: bool) -> DriftTest:
    """The test of a bundle that eight weeks of payments calibrate."""
    times, x = payments(random, 0, 7 * WEEKS * A_DAY, A_DAY)
    scores = scores_of(times, x)
    values = np.column_stack([scores, x])
    hours = hour_classes(len(COLUMNS), times, None, values, random) if by_hour else None
    reference = column_urns(x, random)
    return DriftTest(Calibration.of(scores), COLUMNS, reference, 100, random, hours)


@dataclass(frozen=True)
class Way:
    """A way to compare rows.

    Args:
        name: of it.
        by_hour: whether with those of their hour.
        waits: whether rows wait for the end of their hour.
        shuffled: whether the stream comes in another order than that of its times.
    """

    name: str
    by_hour: bool = True
    waits: bool = True
    shuffled: bool = False

    def rows_to_alarm(
        self, random: np.random.Generator, times: Float64, x: Float64, scores: Float64
    ) -> float:
        """Rows of the stream, those that wait among them, until the alarm; +∞ without one."""
        test = new_test(random, self.by_hour)
        if self.shuffled:
            order = random.permutation(len(times))
            times, x, scores = times[order], x[order], scores[order]
        at_once = 256 if self.waits else 16
        for start in range(0, len(times), at_once):
            part = slice(start, start + at_once)
            now = float(times[part][-1])
            test.take(Rows(scores[part], None, x[part], times[part]), now)
            if not self.waits:
                test.take_over(now + DAY)
            if test.alarm is not None:
                return min(len(times), start + at_once)
        return math.inf


WAYS = (
    Way("served: by the hour, each when it is over"),
    Way("by the hour, rows as they come", waits=False),
    Way("all hours together", by_hour=False),
    Way("all hours together, the stream shuffled", by_hour=False, shuffled=True),
)

NULLS = {"357 rows a day": (A_DAY, 10_000), "36,000 rows a day": (36_000, 72_000)}
"""Rows a day, and of the stream."""


def amounts(times: Float64, x: Float64, scores: Float64) -> None:
    """Half a deviation more within each kind."""
    x[:, 2] += 0.25


def ages(times: Float64, x: Float64, scores: Float64) -> None:
    """Half a deviation more."""
    x[:, 3] += 7


def larger(times: Float64, x: Float64, scores: Float64) -> None:
    """All scores a quarter larger."""
    scores *= 1.25


CHANGES: dict[str, tuple[int, Callable[[Float64, Float64, Float64], None]]] = {
    "amounts, at the begin": (0, amounts),
    "amounts, after 3,000": (3000, amounts),
    "ages, after 3,000": (3000, ages),
    "scores a quarter larger, after 3,000": (3000, larger),
}
"""Rows before, and what changes in place."""


def alarms(way: Way, a_day: int, rows: int, streams: int) -> str:
    """How many streams without a change come to an alarm."""
    found = 0
    for seed in range(streams):
        random = np.random.default_rng(seed)
        times, x = payments(random, 7 * WEEKS + 7, rows, a_day)
        found += way.rows_to_alarm(random, times, x, scores_of(times, x)) < math.inf
    return f"{found} of {streams}"


def delay(
    way: Way, before: int, change: Callable[[Float64, Float64, Float64], None], streams: int
) -> str:
    """The median number of rows from a change to the alarm."""
    delays = []
    for seed in range(streams):
        random = np.random.default_rng(10**6 + seed)
        times, x = payments(random, 7 * WEEKS + 7, before + AFTER, A_DAY)
        if way.shuffled:
            order = random.permutation(len(times))
            times, x = times[order], x[order]
        scores = scores_of(times, x)
        change(times[before:], x[before:], scores[before:])
        unshuffled = Way(way.name, way.by_hour, way.waits)
        delays.append(unshuffled.rows_to_alarm(random, times, x, scores) - before)
    early = sum(each <= 0 for each in delays)
    return f"{np.median(delays):,.0f}" if not early else f"{early} of {streams} before it"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watching_by_hour")
    parser.add_argument("--streams", type=int, default=1000, help="without a change, of each kind")
    streams = parser.parse_args().streams
    rows = []
    for way in WAYS:
        null = [
            alarms(way, *NULLS["357 rows a day"], streams),
            alarms(way, *NULLS["36,000 rows a day"], max(1, streams // 10)),
        ]
        few = max(3, min(30, streams))
        rows.append((way.name, *null, *(delay(way, *each, few) for each in CHANGES.values())))
        print(*rows[-1], sep=" | ", flush=True)
    head = ("rows are compared", *(f"alarms, {name}" for name in NULLS), *CHANGES)
    PAGE.write_text("\n".join([HEAD.format(few=few), *table(head, rows)]))


HEAD = """# Tests of drift by the hour

`python -m tests.benchmarks.watching_by_hour`. Streams of made-up payments in the order of their
times, a week after the eight weeks of 357 rows a day that they are compared with. False alarms:
streams without a change that ever come to one (10,000 rows; 72,000 rows of a busy stream); of
1,000 at most 10 are expected where the bound holds. Delays: median rows of {few} streams of 357
rows a day from a change to the alarm, those among them that wait for the end of their hour. The
score and five columns are watched; the threshold is 100. Delays of all hours together are false
alarms.
"""

if __name__ == "__main__":
    main()
