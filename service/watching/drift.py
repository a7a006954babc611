"""Whether the rows of a stream are still like those that a model was calibrated with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import MAX_WATCHED_COLUMNS
from service.conformal import Calibration, HourClasses, Urn, column_urns, urn_of
from service.types import Float64
from service.watching.martingales import Martingales, State
from service.watching.open_hours import OpenHours, Rows
from service.watching.ranked_bets import RankedBets

SCORE_EDGES = 4096
"""Intervals of the scores of a class; a resolution of p-values of 1/4096."""

REFERENCE_ROWS = 1000
"""First rows of a stream, which columns are compared with where a bundle has no reference."""

ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Change:
    """What the martingale that is ahead says.

    Args:
        column: whose values have changed; None for the score.
        direction: they have become larger (1), smaller (−1), or others (0).
        log_martingale: its logarithm in nats, less what watching several costs.
        rows: the stream's rows by then.
    """

    column: str | None
    direction: int
    log_martingale: float
    rows: int


class DriftTest:
    """Martingales over the scores of a stream, and over the values of each column.

    Scores are ranked among the calibration and the stream before them; values of columns among a
    reference and the stream. Where there is none, the stream's first rows are. By the hour, both
    are ranked among the calibration rows of the hour and the stream's. The first capital
    is divided: one half is the score's, the rest the columns' in equal parts, and the logarithm of
    each part is compared with the threshold's. Where rows are exchangeable, by the hour within each
    class, the probability that any of them ever reaches a threshold c is at most 1/c: a union of
    Ville's bounds.

    Args:
        calibration: scores of normal rows.
        columns: names of those to be watched, if there are no more than `MAX_WATCHED_COLUMNS`.
        reference: of each column; None where there is none. By the hour it is not looked at.
        threshold: above 1; what reaches it is an alarm.
        random: breaks ties.
        hours: what rows are compared with by the hour; None where all are compared.

    Attributes:
        rows: that were tested.
        unknown_rows: of these, those of an hour or a class that no calibration row is of: they are
            compared with nothing.
        alarm: the first change that reached the threshold.
        largest: the largest log of a martingale so far, in nats.
    """

    def __init__(
        self,
        calibration: Calibration,
        columns: Sequence[str],
        reference: Sequence[Urn] | None,
        threshold: float,
        random: np.random.Generator,
        hours: HourClasses | None = None,
    ) -> None:
        self._random = random
        self._log_threshold = math.log(threshold)
        self.columns = list(columns) if len(columns) <= MAX_WATCHED_COLUMNS else []
        self._classes = np.array(calibration.class_codes)
        self._unknown = len(self._classes) or 1 if hours is None else len(hours.hours)
        self._hours = hours
        self._open = None if hours is None else OpenHours(random, hours.span)
        if hours is None:
            urns, of_columns = _score_urns(calibration, random), reference
        else:
            urns, of_columns = _hour_urns(hours, len(self.columns))
            if of_columns is None:
                self.columns = []
        self._scores = RankedBets(urns, Martingales(1), keeps_edges=hours is None)
        self._column_bets = Martingales(len(self.columns))
        self._values: RankedBets | None = None
        self._has_reference = bool(self.columns) and of_columns is not None
        if self.columns and of_columns is not None:
            self._values = RankedBets(of_columns, self._column_bets)
        self._first_values = np.empty((0, len(self.columns)))
        share = 0.5 if self.columns else 1.0
        self._log_shares = np.log([share, *[share / max(1, len(self.columns))] * len(self.columns)])
        self.rows = self.unknown_rows = 0
        self.alarm: Change | None = None
        self.largest = float(self._log_shares[0])

    @property
    def waiting_rows(self) -> int:
        """Rows that wait for the end of their hour."""
        return 0 if self._open is None else len(self._open)

    def is_due(self, now: float) -> bool:
        """Whether an hour is over by the clock, see `OpenHours`."""
        return self._open is not None and self._open.is_due(now)

    def take(self, rows: Rows, now: float = 0.0) -> None:
        """Watch rows; those without a score are passed over.

        Args:
            rows: in their order.
            now: seconds of a clock that only runs on, by which hours end.
        """
        rows = rows.of(~np.isnan(rows.scores))
        if self._open is None:
            self._test(rows)
        else:
            self._open.add(rows, now)
            self.take_over(now)

    def take_over(self, now: float) -> None:
        """Test the rows that waited for the end of an hour that is over by the clock."""
        if self._open is not None and (over := self._open.over(now)) is not None:
            self._test(over)

    def _test(self, rows: Rows) -> None:
        for start in range(0, len(rows.scores), ROWS_AT_ONCE):
            part = rows.of(slice(start, start + ROWS_AT_ONCE))
            number = self._class_numbers(part)
            logs = self._take_scores(part.scores, number)
            if part.values is not None and self.columns:
                logs = np.hstack([logs, self._take_values(part.values, number)])
            self._look(logs + self._log_shares[: logs.shape[1]])
            self.rows += len(logs)
            self.unknown_rows += int((number == self._unknown).sum())

    def changes(self) -> list[Change]:
        """What each martingale says now, the largest first."""
        logs = self._log_shares.copy()
        logs[:1] += self._scores.bets.log_capital
        logs[1:] += self._column_bets.log_capital
        return [self._change(int(i), float(logs[i]), self.rows) for i in np.argsort(-logs)]

    def _look(self, logs: Float64) -> None:
        """Take note of the largest of rows × martingales, and of the first that is an alarm."""
        self.largest = max(self.largest, float(logs.max()))
        are_alarms = logs.max(1) >= self._log_threshold
        # not by `largest`, which may be of rows before a restart and above a threshold of now
        if self.alarm is None and are_alarms.any():
            row = int(np.argmax(are_alarms))
            which = int(np.argmax(logs[row]))
            self.alarm = self._change(which, float(logs[row, which]), self.rows + row + 1)

    def _change(self, which: int, log_martingale: float, rows: int) -> Change:
        column = self.columns[which - 1] if which else None
        bets = self._column_bets if which else self._scores.bets
        direction = int(bets.directions[max(0, which - 1)])
        return Change(column, direction, log_martingale, rows)

    def _class_numbers(self, rows: Rows) -> NDArray[np.intp]:
        """The class of each row; the last one of what no calibration row is like."""
        if self._hours is not None:
            assert rows.times is not None
            return self._hours.number(rows.times, rows.classes)
        if not len(codes := self._classes):
            return np.zeros(len(rows.scores), np.intp)
        assert rows.classes is not None
        number = np.minimum(np.searchsorted(codes, rows.classes), len(codes) - 1)
        return np.where(codes[number] == rows.classes, number, len(codes))

    def _take_scores(self, scores: Float64, number: NDArray[np.intp]) -> Float64:
        ties = self._random.random((len(scores), 2))
        intervals = self._scores.urns.intervals(number, scores, ties[:, 0])
        return self._scores.bet(intervals[:, None], ties[:, 1:])

    def _take_values(self, values: Float64, number: NDArray[np.intp]) -> Float64:
        """The same of the columns, once there is a reference; rows before it change no capital."""
        logs, begun = np.tile(self._column_bets.log_capital, (len(values), 1)), 0
        if self._values is None:
            begun = min(len(values), REFERENCE_ROWS - len(self._first_values))
            self._first_values = np.concatenate([self._first_values, values[:begun]])
            if len(self._first_values) < REFERENCE_ROWS:
                return logs
            urns = column_urns(self._first_values, self._random)
            self._values = RankedBets(urns, self._column_bets)
            self._first_values = np.empty((0, len(urns)))  # a part of it would keep all of it
        values = np.where(np.isnan(values[begun:]), np.inf, values[begun:])
        ties = self._random.random((2, *values.shape))
        of = np.zeros_like(number) if self._hours is None else number
        of_columns = of[begun:, None] * len(self.columns) + np.arange(len(self.columns))
        intervals = self._values.urns.intervals(of_columns, values, ties[0])
        logs[begun:] = self._values.bet(intervals, ties[1])
        return logs

    def state(self) -> State:
        """What a test of the same bundle needs to go on from here: no value of a row is in it.

        Rows that wait for the end of their hour are left out.
        A reference of the stream's first rows is left out, and rows to come make another one.
        Capital goes on: of exchangeable rows, ranks among later ones alone are independent of all
        before them.
        """
        of_values = self._column_bets.state()
        if self._has_reference and self._values is not None:
            of_values = self._values.state()
        kept: State = {
            "rows": np.array(self.rows),
            "unknown_rows": np.array(self.unknown_rows),
            "largest": np.array(self.largest),
        }
        if self._hours is not None:
            kept["cycle"] = np.array(self._hours.cycle)
        for name, arrays in {"scores": self._scores.state(), "values": of_values}.items():
            kept |= {f"{name}.{key}": array for key, array in arrays.items()}
        return kept

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            KeyError, ValueError: it is of no test of this bundle; then nothing has changed.
        """
        if ("cycle" in state) != (self._hours is not None):
            raise ValueError("it is of a test that compares rows by the hour, or by none")
        of_scores, of_values = (
            {key.removeprefix(name): array for key, array in state.items() if key.startswith(name)}
            for name in ("scores.", "values.")
        )
        scores = self._scores.restored(of_scores)
        values = None
        if self._has_reference and self._values is not None:
            values = self._values.restored(of_values)
        column_bets = self._column_bets.restored(of_values) if values is None else values.bets
        rows, largest = int(state["rows"]), float(state["largest"])
        unknown = int(state.get("unknown_rows", 0))  # states of before have none
        if rows < max(scores.bets.rows, unknown):
            raise ValueError("its rows do not add up")
        self._scores, self._values, self._column_bets = scores, values, column_bets
        self._first_values = self._first_values[:0].copy()
        self.rows, self.unknown_rows, self.largest = rows, unknown, largest


def _score_urns(calibration: Calibration, random: np.random.Generator) -> list[Urn]:
    """An urn for each class, and one for classes without a calibration."""
    codes = calibration.class_codes
    if not codes:
        return [urn_of(calibration.scores, calibration.counts, SCORE_EDGES, random)]
    each = max(1, SCORE_EDGES // len(codes))
    urns = []
    for code in codes:
        of = calibration.classes == code
        counts = None if calibration.counts is None else calibration.counts[of]
        urns.append(urn_of(calibration.scores[of], counts, each, random))
    return [*urns, urn_of(np.empty(0), None, 0, random)]


def _hour_urns(hours: HourClasses, columns: int) -> tuple[list[Urn], list[Urn] | None]:
    """Urns of scores by the hour, and those of all columns; of no values of columns None.

    One more of each is for rows of an hour or a class without calibration rows.
    """
    nothing = urn_of(np.empty(0), None, 0, np.random.default_rng(0))
    scores = [*(urns[0] for urns in hours.urns), nothing]
    if len(hours.urns[0]) != 1 + columns:
        return scores, None
    values = [urn for urns in hours.urns for urn in urns[1:]]
    return scores, [*values, *[nothing] * columns]
