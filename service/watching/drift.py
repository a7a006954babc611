"""Whether the rows of a stream are still like those that a model was calibrated with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.conformal import Calibration, Urn, column_urns, urn_of
from service.types import Float64
from service.watching.martingales import Martingales, State
from service.watching.ranked_bets import RankedBets

SCORE_EDGES = 4096
"""Intervals of the scores of a class; a resolution of p-values of 1/4096."""

MAX_COLUMNS = 64
"""Columns that are watched one by one; of rows with more, the score alone."""

REFERENCE_ROWS = 1000
"""First rows of a stream, which columns are compared with where a bundle has no reference."""

ROWS_AT_ONCE = 512


class Rows(NamedTuple):
    """Rows that were scored, in their order.

    Args:
        scores: n; NaN of what is no row.
        classes: n, of a calibration by class.
        values: n × columns, NaN where a value is missing; None where columns are not watched.
    """

    scores: Float64
    classes: Float64 | None
    values: Float64 | None


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of one or more parts, one after another."""
    classes = [part.classes for part in parts if part.classes is not None]
    values = [part.values for part in parts if part.values is not None]
    return Rows(
        np.concatenate([part.scores for part in parts]),
        np.concatenate(classes) if classes else None,
        np.concatenate(values) if values else None,
    )


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
    reference and the stream. Where there is none, the stream's first rows are. The first capital
    is divided: one half is the score's, the rest the columns' in equal parts, and the logarithm of
    each part is compared with the threshold's. Where rows are exchangeable, the probability that
    any of them ever reaches a threshold c is at most 1/c: a union of Ville's bounds.

    Args:
        calibration: scores of normal rows.
        columns: names of those to be watched, if there are no more than `MAX_COLUMNS`.
        reference: of each column; None where there is none.
        threshold: above 1; what reaches it is an alarm.
        random: breaks ties.

    Attributes:
        rows: that were watched.
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
    ) -> None:
        self._random = random
        self._log_threshold = math.log(threshold)
        self.columns = list(columns) if len(columns) <= MAX_COLUMNS else []
        self._classes = np.array(calibration.class_codes)
        self._scores = RankedBets(_score_urns(calibration, random), Martingales(1), True)
        self._column_bets = Martingales(len(self.columns))
        self._values: RankedBets | None = None
        self._has_reference = bool(self.columns) and reference is not None
        if self.columns and reference is not None:
            self._values = RankedBets(reference, self._column_bets)
        self._first_values = np.empty((0, len(self.columns)))
        share = 0.5 if self.columns else 1.0
        self._log_shares = np.log([share, *[share / max(1, len(self.columns))] * len(self.columns)])
        self.rows = 0
        self.alarm: Change | None = None
        self.largest = float(self._log_shares[0])

    def take(self, rows: Rows) -> None:
        """Watch rows; those without a score are passed over."""
        is_row = ~np.isnan(rows.scores)
        scores = rows.scores[is_row]
        classes = None if rows.classes is None else rows.classes[is_row]
        values = None if rows.values is None or not self.columns else rows.values[is_row]
        for start in range(0, len(scores), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            logs = self._take_scores(scores[part], None if classes is None else classes[part])
            if values is not None:
                logs = np.hstack([logs, self._take_values(values[part])])
            self._look(logs + self._log_shares[: logs.shape[1]])
            self.rows += len(logs)

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

    def _take_scores(self, scores: Float64, classes: Float64 | None) -> Float64:
        ties = self._random.random((len(scores), 2))
        urn = np.zeros(len(scores), np.int64)
        if len(codes := self._classes):
            assert classes is not None
            urn = np.minimum(np.searchsorted(codes, classes), len(codes) - 1)
            urn[codes[urn] != classes] = len(codes)  # the urn of classes without a calibration
        intervals = np.empty((len(scores), 1), np.int32)
        for each in np.unique(urn):
            of = urn == each
            intervals[of, 0] = self._scores.urns.intervals(int(each), scores[of], ties[of, 0])
        return self._scores.bet(intervals, ties[:, 1:])

    def _take_values(self, values: Float64) -> Float64:
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
        ties = self._random.random((len(values), 2, len(self.columns)))
        intervals = np.empty(values.shape, np.int32)
        for column, of in enumerate(values.T):
            intervals[:, column] = self._values.urns.intervals(column, of, ties[:, 0, column])
        logs[begun:] = self._values.bet(intervals, ties[:, 1])
        return logs

    def state(self) -> State:
        """What a test of the same bundle needs to go on from here: no value of a row is in it.

        A reference of the stream's first rows is left out, and rows to come make another one.
        Capital goes on: of exchangeable rows, ranks among later ones alone are independent of all
        before them.
        """
        of_values = self._column_bets.state()
        if self._has_reference and self._values is not None:
            of_values = self._values.state()
        kept: State = {"rows": np.array(self.rows), "largest": np.array(self.largest)}
        for name, arrays in {"scores": self._scores.state(), "values": of_values}.items():
            kept |= {f"{name}.{key}": array for key, array in arrays.items()}
        return kept

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            KeyError, ValueError: it is of no test of this bundle; then nothing has changed.
        """
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
        if rows < scores.bets.rows:
            raise ValueError("its rows do not add up")
        self._scores, self._values, self._column_bets = scores, values, column_bets
        self._first_values = self._first_values[:0].copy()
        self.rows, self.largest = rows, largest


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
