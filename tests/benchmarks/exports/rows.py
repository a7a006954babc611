"""What was measured, kept so that a benchmark goes on where it was."""

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from tests.benchmarks.common.bar import Bar
from tests.benchmarks.exports.process import Cost
from tests.benchmarks.exports.recipes import STEEP

State = Literal["after train", "without"]
AFTER: State = "after train"
WITHOUT: State = "without"
SideName = Literal["ours", "base"]
BESIDE = "beside"
OURS: SideName = "ours"
BASE: SideName = "base"

# Seconds, by whether training has kept evaluation, calibration and fidelity; bytes after it.
MAX_SECONDS: dict[State, float] = {AFTER: 120, WITHOUT: 240}
MAX_BYTES = 4e9
# CPU time beside a busy process, in times of that alone.
MAX_RATIO = 1.5


@dataclass(frozen=True)
class Row:
    """One export.

    Args:
        recipe: of the run.
        state: what training has kept for it.
        side: whose code exported it: this checkout's, or the base's.
        code, commit: of that checkout; `code` changes with what exports depend on alone.
        cost: of the process.
        arithmetic: of the graphs; None where it failed.
        failed: why there is no bundle; None where there is one.
    """

    recipe: str
    state: State
    side: SideName
    code: str
    commit: str
    cost: Cost
    arithmetic: str | None = None
    failed: str | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What it is of."""
        return self.recipe, self.state, self.side

    @property
    def seconds(self) -> float:
        """Seconds that it takes alone, at most.

        Beside others an export waits for its turn, and the CPU time of one thread and more is no
        less than the time that they take alone.
        """
        return min(self.cost.wall, self.cost.cpu)


@dataclass(frozen=True)
class Busy:
    """Exports of one run, in turns alone and beside a busy process.

    Args:
        recipe: of the run.
        code, commit: as of a `Row`.
        alone, beside: CPU seconds of each turn.
    """

    recipe: str
    code: str
    commit: str
    alone: tuple[float, ...]
    beside: tuple[float, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What it is of."""
        return self.recipe, BESIDE

    @property
    def ratios(self) -> list[float]:
        """Beside to alone, of each pair."""
        return [b / a for a, b in zip(self.alone, self.beside, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.ratios)


class Measured:
    """All rows, in a file that is written after each.

    Args:
        path: of the file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        content = json.loads(path.read_bytes()) if path.exists() else {"rows": [], "busy": []}
        rows = [Row(**each | {"cost": Cost(**each["cost"])}) for each in content["rows"]]
        busy = [
            Busy(**each | {k: tuple(each[k]) for k in ("alone", "beside")})
            for each in content["busy"]
        ]
        self._of: dict[tuple[str, ...], Row | Busy] = {}
        self._of |= {row.key: row for row in rows} | {each.key: each for each in busy}

    @property
    def rows(self) -> list[Row]:
        """Exports, by recipe."""
        return sorted((r for r in self._of.values() if isinstance(r, Row)), key=lambda r: r.key)

    @property
    def busy(self) -> list[Busy]:
        """Exports beside a busy process, by recipe."""
        return sorted((b for b in self._of.values() if isinstance(b, Busy)), key=lambda b: b.key)

    def has(self, key: tuple[str, ...], code: str) -> bool:
        """Whether something was measured of this code."""
        return key in self._of and self._of[key].code == code

    def add(self, measured: Row | Busy) -> None:
        """Keep a measurement, in place of one of other code."""
        self._of[measured.key] = measured
        content = json.dumps(self.content(), indent=1)
        partial = self._path.with_suffix(".partial")
        partial.write_text(content + "\n", encoding="utf-8")
        partial.replace(self._path)

    def forget(self, recipes: Iterable[str], kinds: Iterable[str]) -> None:
        """Measure these again.

        Args:
            recipes: their names.
            kinds: states, or `BESIDE`.
        """
        gone = {*product(recipes, kinds)}
        self._of = {key: each for key, each in self._of.items() if key[:2] not in gone}

    def content(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"rows": [*map(asdict, self.rows)], "busy": [*map(asdict, self.busy)]}


def bars(rows: Iterable[Row], busy: Iterable[Busy], not_made: Iterable[str] = ()) -> Iterator[Bar]:
    """What exports of this checkout must reach.

    Args:
        rows: of both sides.
        busy: beside a busy process.
        not_made: recipes of which there is no run.
    """
    ours = [row for row in rows if row.side == OURS]
    for row in ours:
        what = f"{row.recipe}, {row.state}"
        yield Bar(f"{what}: seconds", row.seconds, MAX_SECONDS[row.state])
        if row.state == AFTER:
            yield Bar(f"{what}: GB of memory", row.cost.peak / 1e9, MAX_BYTES / 1e9)
    failed = sorted({row.recipe for row in ours if row.failed} | {*not_made})
    yield Bar(f"recipes that fail ({', '.join(failed) or 'none'})", len(failed), 0)
    easy = sorted({r.recipe for r in ours if r.recipe in STEEP and r.arithmetic == "float32"})
    yield Bar(f"recipes whose weights are too easy ({', '.join(easy) or 'none'})", len(easy), 0)
    for each in busy:
        what = f"{each.recipe} beside a busy process: CPU time, in times of alone"
        yield Bar(what, each.ratio, MAX_RATIO)
