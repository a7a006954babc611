"""The watch over one version of a model: histograms of what it answers, and its test of drift."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from service.bundle import AnyManifest
from service.metrics import ModelSeries
from service.types import Float64, Floats
from service.watching.drift import Change, DriftTest
from service.watching.open_hours import Rows, joined
from service.watching.state_folder import Kept
from service.work_threads import WorkThreads

log = logging.getLogger(__name__)

MAX_REQUEST_ROWS = 1024
"""Rows of a request that the test of drift takes, evenly spaced: its work is bounded."""

ROWS_AT_ONCE = 256
"""Rows that wait until they are taken together: one alone takes 200 µs, of many each 2 to 14."""

SHARE = 0.05
"""Share of a core that the test of drift takes in the long run. Rows beyond are left out, whatever
their values: where rows come so fast, those that are left find a change all the same."""

MAX_WAITING_ROWS = 8192
"""From so many waiting rows on, those that come while the test is at others are left out."""

MAX_CREDIT_SECONDS = 2.0
"""Work that it may do at once after a silence: some 200,000 rows."""

MAX_MARTINGALES = 10
"""The largest, in a description."""

WORDS = {1: "larger", -1: "smaller", 0: "different"}


class Watch:
    """What is known of the rows that a version was asked about.

    Args:
        manifest: of the version.
        series: its metrics.
        columns: places of those that the test looks at.
        time_column: place of the one whose times have the hours by which it compares; None for
            none.
        begin: begins a test of drift; None where there is no calibration.
        threshold: of the tests of all streams together.
        threads: where it works.
        streams: in which the rows come, of which this test has one.
    """

    def __init__(
        self,
        manifest: AnyManifest,
        series: ModelSeries,
        columns: Sequence[int],
        time_column: int | None,
        begin: Callable[[], DriftTest] | None,
        threshold: float,
        threads: WorkThreads,
        streams: int = 1,
    ) -> None:
        self.name, self.version, self.checksum = manifest.name, manifest.version, manifest.checksum
        self.series = series
        self._columns, self._time_column = list(columns), time_column
        self._begin = begin
        self._threshold = threshold
        self._threads = threads
        self._log_streams = math.log(streams)
        self._drift = begin() if begin is not None else None
        self._begun = _now()
        self._alarm: dict[str, Any] | None = None
        self._waiting: list[Rows] = []
        self._waiting_rows = 0
        self._credit = MAX_CREDIT_SECONDS
        self._credited = time.monotonic()
        self._turn = asyncio.Lock()
        self._taking: asyncio.Task[None] | None = None
        self._guard = threading.Lock()  # a thread whose caller has left goes on working
        self.is_changed = False
        """Whether rows have been watched since its state was last taken."""
        self._publish()

    async def saw_log_prob(self, log_prob: Floats) -> None:
        """Rows were answered with log-densities, n, in nats; NaN of what is no row."""
        await self._threads.run(log_prob.size, self.series.log_prob.observe_all, log_prob)

    async def saw_scores(
        self, p_values: Float64, scores: Float64, classes: Float64 | None, x: Float64
    ) -> None:
        """Rows were scored, in this order; NaN of what is no row.

        Args:
            p_values, scores: n.
            classes: n, of a calibration by class.
            x: n × event shape, as the graphs take it.
        """
        if self._drift is None or len(scores) == 0:
            return
        await self._threads.run(p_values.size, self.series.p_value.observe_all, p_values)
        if not self._has_credit() or self._waiting_rows >= MAX_WAITING_ROWS:
            return
        times = None if self._time_column is None else x[:, self._time_column]
        seen = Rows(scores, classes, x if self._drift.columns else None, times)
        numbers = min(len(scores), MAX_REQUEST_ROWS) * (1 + len(self._drift.columns))
        rows = await self._threads.run(numbers, _some, seen, self._columns)
        self._waiting.append(rows)
        self._waiting_rows += len(rows.scores)
        if self._waiting_rows >= ROWS_AT_ONCE and (self._taking is None or self._taking.done()):
            # no answer waits for the test, and none fails with it
            self._taking = asyncio.get_running_loop().create_task(self.settle())

    def _has_credit(self) -> bool:
        """Whether the test may go on working: it has not taken more than its share of a core."""
        now = time.monotonic()
        earned = SHARE * (now - self._credited)
        self._credit = min(MAX_CREDIT_SECONDS, self._credit + earned)
        self._credited = now
        return self._credit > 0

    async def settle(self) -> None:
        """Have the test take the rows that wait."""
        async with self._turn:
            waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
            if waiting or (self._drift is not None and self._drift.is_due(time.monotonic())):
                await self._threads.run(math.inf, self._take, waiting)
                self._publish()

    async def reset(self) -> None:
        """Begin anew: what was watched is forgotten, and an alarm ends."""
        async with self._turn:
            self._waiting, self._waiting_rows = [], 0
            await self._threads.run(math.inf, self._restart)
            self._publish()
        log.warning("%s version %d: the watch begins anew by request", self.name, self.version)

    @property
    def tests_drift(self) -> bool:
        """Whether there is a test of drift."""
        return self._drift is not None

    async def describe(self) -> dict[str, Any]:
        """What the test of drift says after all rows so far, for people."""
        await self.settle()
        async with self._turn:
            return self._described()

    def _described(self) -> dict[str, Any]:
        drift = self._drift
        assert drift is not None
        changes = drift.changes()
        return {
            "model": self.name,
            "version": self.version,
            "begun": self._begun,
            "rows": drift.rows,
            "unknown_rows": drift.unknown_rows,
            "waiting_rows": drift.waiting_rows,
            "threshold": self._threshold,
            "log_threshold": math.log(self._threshold),
            "log_martingale": changes[0].log_martingale - self._log_streams,
            "largest_log_martingale": drift.largest - self._log_streams,
            "alarm": self._alarm,
            "martingales": [self._change(change) for change in changes[:MAX_MARTINGALES]],
        }

    def _change(self, change: Change) -> dict[str, Any]:
        """A change for people, by its part of the mean martingale of all streams."""
        return {
            "of": "score" if change.column is None else "column",
            "column": change.column,
            "values": WORDS[change.direction],
            "log_martingale": change.log_martingale - self._log_streams,
        }

    def kept(self) -> Kept | None:
        """What is to be kept of it; None without a test."""
        with self._guard:
            if self._drift is None:
                return None
            self.is_changed = False
            about = {"bundle": self.checksum, "begun": self._begun, "alarm": self._alarm}
            return Kept(about, {key: np.copy(v) for key, v in self._drift.state().items()})

    def restore(self, kept: Kept) -> None:
        """Go on from what was kept.

        Raises:
            ValueError: it is of another bundle, or damaged.
        """
        about, state = kept
        if about.get("bundle") != self.checksum:
            raise ValueError("it is of another bundle of this name and version")
        if self._drift is None:
            raise ValueError("the bundle has no calibration")
        try:
            self._drift.restore(state)
            self._begun, self._alarm = about["begun"], about["alarm"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is damaged: {error}") from None
        self._publish()

    def _take(self, waiting: list[Rows]) -> None:
        begun = time.thread_time()
        with self._guard:
            drift = self._drift
            assert drift is not None
            if waiting:
                drift.take(joined(waiting), time.monotonic())
            else:
                drift.take_over(time.monotonic())
            self._credit -= time.thread_time() - begun
            self.is_changed = True
            if self._alarm is None and drift.alarm is not None:
                self._alarm = self._change(drift.alarm) | {"rows": drift.alarm.rows, "time": _now()}
                self._say(drift.alarm)

    def _restart(self) -> None:
        with self._guard:
            if self._begin is not None:
                self._drift = self._begin()
            self._begun, self._alarm, self.is_changed = _now(), None, True

    def _say(self, change: Change) -> None:
        log.warning(
            "%s version %d: alarm: %s after %d rows (martingale e^%.2f, threshold %g); of streams "
            "without a change at most one in %g ever comes to an alarm",
            self.name,
            self.version,
            _sentence(change),
            change.rows,
            change.log_martingale - self._log_streams,
            self._threshold,
            self._threshold,
        )

    def _publish(self) -> None:
        if (drift := self._drift) is not None:
            logs = drift.changes()[0].log_martingale - self._log_streams
            self.series.set_drift(drift.rows, logs, self._alarm is not None)


def _some(rows: Rows, columns: Sequence[int]) -> Rows:
    """At most `MAX_REQUEST_ROWS`, by their places, whatever their values, of some columns.

    They are copies: a view of a few would keep all rows of its request in memory.
    """
    some = slice(None, None, -(-len(rows.scores) // MAX_REQUEST_ROWS))
    classes, values, times = rows.classes, rows.values, rows.times
    return Rows(
        rows.scores[some].copy(),
        None if classes is None else classes[some].copy(),
        None if values is None else values[some][:, columns],
        None if times is None else times[some].copy(),
    )


def _sentence(change: Change) -> str:
    what = "scores" if change.column is None else f"values of column {change.column!r:.80}"
    return f"{what} have become {WORDS[change.direction]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
