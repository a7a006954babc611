"""Many clients at once: the worst of them, and good ones who are to notice nothing.

    python -m tests.hostile.mixed --minutes 20 --results FOLDER

1,500 heads that come a byte at a time, 30 slow readers of ten million rows, 4 good clients without
a pause, batches with one poisoned row, storms of 30 deadlines, and callers who leave before, during
and after the work. Writes FOLDER/mixed.md and mixed.json, with the slope of the server's memory
(RSS) over the last three quarters; exits with 1 where something does not hold.
"""

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy import stats
from tqdm import tqdm

from tests.hostile import page
from tests.hostile.attackers import ATTACKERS
from tests.hostile.attackers.good import GOOD
from tests.hostile.measure import GRACE_SECONDS, Company, Result, measure

CONNECTIONS = {
    "slow-heads": 1500,
    "slow-readers": 30,
    "poison": 1,
    "deadlines": 30,
    "leaves-before": 4,
    "leaves-during-work": 4,
    "leaves-during-stream": 4,
    "leaves-after": 4,
}
SHARE = 0.75
"""Of the time, at its end, over which memory is not to grow."""

BLOCKS = 15
"""Parts of that time, whose means the slope is fitted to: single seconds are not independent."""

MAX_SLOPE = 0.3e6
"""Bytes a minute: the upper 95 % limit of the slope."""

MIN_SLOPE_MINUTES = 10
"""A slope over less time says nothing of it."""


@dataclass(frozen=True)
class Slope:
    """Growth of memory, in bytes a minute.

    Args:
        mean: the estimate.
        low, high: the ends of its 95 % interval.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        mean, low, high = (value / 1e6 for value in (self.mean, self.low, self.high))
        return f"{mean:.2f} ({low:.2f} to {high:.2f}) MB a minute"


def slope(samples: Sequence[tuple[float, int]]) -> Slope:
    """The slope of the last three quarters of samples (seconds, bytes), by least squares of means.

    Student's t with its degrees of freedom gives the interval. Of fewer samples than blocks there
    is none: all is NaN.
    """
    begins = (1 - SHARE) * samples[-1][0]
    kept = [sample for sample in samples if sample[0] >= begins]
    if len(kept) < BLOCKS:
        return Slope(math.nan, math.nan, math.nan)
    size = len(kept) / BLOCKS
    blocks = [kept[int(k * size) : int((k + 1) * size)] for k in range(BLOCKS)]
    minutes = [statistics.mean(second for second, _ in block) / 60 for block in blocks]
    resident = [statistics.mean(memory for _, memory in block) for block in blocks]
    fit = stats.linregress(minutes, resident)
    width = float(stats.t.ppf(0.975, BLOCKS - 2)) * (0.0 if math.isnan(fit.stderr) else fit.stderr)
    return Slope(float(fit.slope), float(fit.slope - width), float(fit.slope + width))


def run(seconds: float, folder: Path, grace: int = GRACE_SECONDS) -> Result:
    """The mixed load for so long."""
    hostile = [replace(ATTACKERS[name], connections=n) for name, n in CONNECTIONS.items()]
    companies = [Company(tuple(hostile)), Company((GOOD,), is_good=True)]
    result = Result("mixed", "D", "good clients are answered, and memory does not grow", seconds)
    with tqdm(total=int(seconds), unit=" s", mininterval=10) as bar:
        measure(result, companies, folder, grace, lambda _: bar.update())
    if seconds >= 60 * MIN_SLOPE_MINUTES and (found := slope(result.resident)).high > MAX_SLOPE:
        result.failures.append(f"memory grows by {found}")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.mixed", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--results", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bijecta-hostile-") as folder:
        result = run(60 * arguments.minutes, Path(folder))
    page.write(
        arguments.results, "mixed", f"{arguments.minutes:g} minutes of all at once", [result]
    )
    answered = ", ".join(
        f"{status}: {count:,}" for status, count in sorted(result.statuses.items())
    )
    lines = [
        f"Memory at the end {result.end / 1e6:.0f} MB, idle {result.idle / 1e6:.0f} MB; its slope "
        f"over the last {SHARE:.0%} of the time is {slope(result.resident)}.",
        "",
        f"Answers by status, 0 for connections that broke: {answered}.",
        "",
    ]
    with (arguments.results / "mixed.md").open("a") as file:
        file.write("\n".join(lines))
    print((arguments.results / "mixed.md").read_text())
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
