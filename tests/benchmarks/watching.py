"""Ways of betting against exchangeability beside each other: false alarms and delays.

    python -m tests.benchmarks.watching

Every way bets on the same p-values, which `service.watching` ranks. A stream changes after some
rows; its delay is the rows from there until the capital reaches a threshold.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.conformal import urn_of
from service.types import Float64
from service.watching.martingales import DIRECTIONS, TILTS, Martingales, betting_factors
from service.watching.urns import Urns

PAGE = Path(__file__).parent / "results" / "watching.md"
STREAMS, NULL_STREAMS, NULL_ROWS, AFTER = 30, 1000, 10_000, 4000

Bet = Callable[[Float64], Float64]
"""P-values, rows × streams → log of the capital after each."""


@dataclass(frozen=True)
class Change:
    """A change of normal rows.

    Args:
        name: of it.
        reference: rows of the reference.
        before: rows of the stream before it.
        change: rows × columns → the same, changed; the first column changes.
        columns: whose squares' sum is ranked; of 1, the value itself.
        threshold: of the capital.
    """

    name: str
    reference: int
    before: int
    change: Callable[[Float64], Float64]
    columns: int = 1
    threshold: float = 100.0

    def p_values(self, random: np.random.Generator) -> Float64:
        """Of the whole stream."""
        x = random.normal(size=(self.reference + self.before + AFTER, self.columns))
        x[-AFTER:] = self.change(x[-AFTER:])
        values = x[:, 0] if self.columns == 1 else (x * x).sum(1)
        reference, stream = np.split(values, [self.reference])
        urns = Urns([urn_of(np.sort(reference), None, 4096, random)])
        intervals = urns.intervals(np.zeros(len(stream), int), stream, random.random(len(stream)))
        return np.asarray(urns.p_values(intervals[:, None], random.random((len(stream), 1)))[:, 0])


def shifted(x: Float64) -> Float64:
    """Half a deviation in the first column."""
    return np.asarray(x + 0.5 * (np.arange(x.shape[1]) == 0))


def contaminated(x: Float64) -> Float64:
    """One row in fifty is moved by five deviations."""
    return np.asarray(x + 5.0 * (np.arange(len(x)) % 50 == 0)[:, None])


def wider(x: Float64) -> Float64:
    """A deviation of 1.25."""
    return 1.25 * x


# of 20 columns beside the score, see DriftTest
COLUMN, SCORE = 4000.0, 200.0
CHANGES = (
    Change("column, at the begin", 1000, 0, shifted, threshold=COLUMN),
    Change("column, after 3,000", 1000, 3000, shifted, threshold=COLUMN),
    Change("column, after 50,000", 1000, 50_000, shifted, threshold=COLUMN),
    Change("column wider, after 3,000", 1000, 3000, wider, threshold=COLUMN),
    Change("score of 2 columns, at the begin", 5000, 0, shifted, 2, SCORE),
    Change("score of 3 columns, after 3,000", 5000, 3000, shifted, 3, SCORE),
    Change("score of 5 columns, at the begin", 5000, 0, shifted, 5, SCORE),
    Change("2 % far out, after 3,000", 1000, 3000, contaminated, threshold=SCORE),
)


def chosen(p: Float64) -> Float64:
    """What is served."""
    return Martingales(p.shape[1]).bet(p)


def from_the_begin(functions: int) -> Bet:
    """The first so many functions of what is served, all bet from the first row on."""

    def bet(p: Float64) -> Float64:
        total, logs = np.zeros((p.shape[1], functions)), np.empty(p.shape)
        for row, each in enumerate(p):
            total = total + np.log(betting_factors(each)[:, :functions])
            logs[row] = np.logaddexp.reduce(total, axis=-1) - math.log(functions)
        return logs

    return bet


def jumper(tilts: Float64, jump: float) -> Bet:
    """Simple Jumper of Vovk et al. (Retrain or not retrain, 2021)."""

    def bet(p: Float64) -> Float64:
        capital = np.full((p.shape[1], len(tilts)), 1 / len(tilts))
        logs, total = np.empty(p.shape), np.zeros(p.shape[1])
        for row, each in enumerate(p):
            capital = (1 - jump) * capital + jump * capital.sum(1, keepdims=True) / len(tilts)
            capital = capital * (1 + tilts * (each[:, None] - 0.5))
            won = capital.sum(1)
            total = total + np.log(won)
            capital = capital / won[:, None]
            logs[row] = total
        return logs

    return bet


def composite(p: Float64) -> Float64:
    """The mean of Simple Jumpers of several rates, as there."""
    rates = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    logs = np.stack([jumper(np.array([-1.0, 0.0, 1.0]), rate)(p) for rate in rates])
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - math.log(len(rates)))


def histogram(p: Float64) -> Float64:
    """The density of the p-values so far, in ten bins (Krichevsky and Trofimov)."""
    counts = np.full((p.shape[1], 10), 0.5)
    logs, total, streams = np.empty(p.shape), np.zeros(p.shape[1]), np.arange(p.shape[1])
    for row, bins in enumerate(np.minimum((p * 10).astype(int), 9)):
        total = total + np.log(10 * counts[streams, bins] / (5 + row))
        counts[streams, bins] += 1
        logs[row] = total
    return logs


BETS: dict[str, Bet] = {
    "served": chosen,
    "the same functions, from the begin": from_the_begin(len(DIRECTIONS)),
    "its tilts alone, from the begin": from_the_begin(len(TILTS)),
    "Simple Jumper, ±1, rate 0.01": jumper(np.array([-1.0, 0.0, 1.0]), 0.01),
    "Simple Jumper, ±1, rate 0.001": jumper(np.array([-1.0, 0.0, 1.0]), 0.001),
    "Composite Jumper": composite,
    "Simple Jumper, eight tilts, 0.001": jumper(
        np.array([-1.9, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.9]), 0.001
    ),
    "histogram of ten bins": histogram,
}


def main() -> None:
    """Write the page."""
    random = np.random.default_rng(0)
    null = random.random((NULL_ROWS, NULL_STREAMS))
    streams = {
        change: np.stack([change.p_values(random) for _ in range(STREAMS)], axis=1)
        for change in CHANGES
    }
    lines = [
        f"| bets | alarms of {NULL_STREAMS:,} null streams | " + " | ".join(c.name for c in CHANGES)
    ]
    lines += ["|---" * (2 + len(CHANGES))]
    for name, bet in BETS.items():
        parts = np.array_split(null, 10, axis=1)
        alarms = sum(int((bet(part).max(0) >= math.log(100)).sum()) for part in parts)
        cells = [_delay(bet, change, p) for change, p in streams.items()]
        lines.append(f"| {name} | {alarms} | " + " | ".join(cells))
        print(lines[-1], flush=True)
    table = "\n".join(f"{line} |" for line in lines)
    PAGE.write_text(f"{HEAD}\n{table}\n")


def _delay(bet: Bet, change: Change, p: Float64) -> str:
    """The median delay, or the share of streams that were found."""
    reached = bet(p)[change.before :] >= math.log(change.threshold)
    found = reached.any(0)
    if found.mean() <= 0.5:
        return f"{100 * found.mean():.0f} % found"
    delays = np.where(found, reached.argmax(0) + 1.0, np.inf)
    return f"{np.median(delays):,.0f}"


HEAD = f"""# Tests of drift: bets beside each other

`python -m tests.benchmarks.watching`. False alarms: of {NULL_STREAMS:,} streams of {NULL_ROWS:,}
uniform p-values, those whose capital ever reaches 100 (at most 10 are expected). Delays: median
rows, of {STREAMS} streams of normal rows, until the capital reaches the threshold of a test that
watches a score and 20 columns; where half of the streams or fewer are found within {AFTER:,} rows,
their share. The change is half a deviation in one column, unless it says otherwise; a "score" is
the squared norm of a row. The reference has 1,000 rows, of scores 5,000.
"""

if __name__ == "__main__":
    main()
