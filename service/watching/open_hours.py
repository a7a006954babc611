"""Rows that were scored, and those whose hour is not over yet.

A stream has a course within an hour, too: at ten to seven rows are others than at ten past six. Of
an hour that is over, rows in random order are exchangeable with calibration rows of such hours. So
rows wait until theirs is over, and are then tested in random order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.conformal import HOUR
from service.types import Float64

LATER_HOURS = 2
"""An hour is over once rows of so many later ones have come since its last: of live rows this hour
waits, and the one before for those that come late. Late rows end no hour: it would be tested in
parts that are no random ones. Of eight streams of 36,000 rows a day without a change, of which one
row in twenty came late, three came to an alarm where any two other hours ended one."""

MAX_OPEN_HOURS = 24
"""An hour is over once rows of so many others have come since its last, in whatever order."""

MAX_IDLE_SECONDS = 300.0
"""An hour of which no row came for so long is over."""

LATE_SECONDS = 300.0
"""An hour is over so long after its rows may have come, whatever their times."""

MAX_HOUR_ROWS = 2048
"""Rows of an hour that are tested, drawn at random."""

MAX_WAITING_ROWS = 2 * MAX_HOUR_ROWS
"""Rows of all hours that wait: of more, the hour is over whose last row came first."""


class Rows(NamedTuple):
    """Rows that were scored, in their order.

    Args:
        scores: n; NaN of what is no row.
        classes: n, of a calibration by class.
        values: n × columns, NaN where a value is missing; None where columns are not watched.
        times: n, in seconds since 1970, NaN where it is missing; None where hours do not count.
    """

    scores: Float64
    classes: Float64 | None = None
    values: Float64 | None = None
    times: Float64 | None = None

    def of(self, which: NDArray[Any] | slice) -> "Rows":
        """Some of them."""
        others = [None if each is None else each[which] for each in self[1:]]
        return Rows(self.scores[which], *others)


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of one or more parts, one after another."""
    scores = np.concatenate([part.scores for part in parts])
    others = zip(*[part[1:] for part in parts], strict=True)
    return Rows(scores, *[None if each[0] is None else np.concatenate(each) for each in others])


class OpenHours:
    """Rows of hours that are not over.

    Args:
        random: orders rows of an hour, and draws those that are too many.
        span: seconds in which rows of one hour come; of dates those of a day.
    """

    def __init__(self, random: np.random.Generator, span: float = HOUR) -> None:
        self._random = random
        self._max_open = span + LATE_SECONDS
        self._rows: Rows | None = None
        self._hours = self._keys = np.empty(0)
        self._opened: dict[float, float] = {}
        self._last: dict[float, float] = {}  # in the order of the last row of each

    def __len__(self) -> int:
        """Rows that wait."""
        return len(self._hours)

    def is_due(self, now: float) -> bool:
        """Whether an hour is over by the clock."""
        return any(self._is_over(hour, now) for hour in self._last)

    def add(self, rows: Rows, now: float) -> None:
        """Take rows with times.

        Args:
            rows: in their order.
            now: seconds of a clock that only runs on.
        """
        assert rows.times is not None
        hours = np.floor(rows.times / HOUR)
        for hour in _by_last_row(hours):
            self._opened.setdefault(hour, now)
            self._last.pop(hour, None)
            self._last[hour] = now
        self._end_passed()
        self._rows = rows if self._rows is None else joined([self._rows, rows])
        self._hours = np.concatenate([self._hours, hours])
        self._keys = np.concatenate([self._keys, self._random.random(len(hours))])

    def over(self, now: float) -> Rows | None:
        """The rows of hours that are over, hour by hour; None without any.

        Those without a time do not wait.
        """
        for hour in [hour for hour in self._last if self._is_over(hour, now)]:
            self._end(hour)
        if self._rows is None:
            return None
        if len(self._hours) > MAX_WAITING_ROWS:
            self._end_surplus()
        waits = np.isin(self._hours, [*self._last])
        if waits.all() and len(waits) <= MAX_WAITING_ROWS:
            return None
        over = self._rows.of(self._drawn(np.flatnonzero(~waits)))
        kept = np.flatnonzero(waits)
        if len(kept) > MAX_WAITING_ROWS:
            kept = self._drawn(kept)
        self._rows = self._rows.of(kept)
        self._hours, self._keys = self._hours[kept], self._keys[kept]
        return over

    def _end_passed(self) -> None:
        """End the hours since whose last row enough others have come."""
        latest: list[float] = []  # of those that came since, ascending
        for since, hour in enumerate(reversed([*self._last])):
            if since >= MAX_OPEN_HOURS or (len(latest) == LATER_HOURS and hour < latest[0]):
                self._end(hour)
            latest = sorted([*latest, hour])[-LATER_HOURS:]

    def _end_surplus(self) -> None:
        """End hours until no more rows wait than may."""
        hours, numbers = np.unique(self._hours, return_counts=True)
        of_hour = dict(
            zip(hours.tolist(), np.minimum(numbers, MAX_HOUR_ROWS).tolist(), strict=True)
        )
        surplus = sum(of_hour[hour] for hour in self._last) - MAX_WAITING_ROWS
        for hour in [*self._last]:
            if surplus <= 0:
                break
            surplus -= of_hour[hour]
            self._end(hour)

    def _end(self, hour: float) -> None:
        del self._last[hour], self._opened[hour]

    def _drawn(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Places hour by hour in random order, of each hour `MAX_HOUR_ROWS` at most.

        Those of the smallest keys: they are drawn at random, also where others are yet to come.
        """
        hours = self._hours[places]
        order = np.lexsort((self._keys[places], hours))
        begins = np.flatnonzero(np.append(True, np.diff(hours[order]) != 0))
        rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
        return places[order[rank < MAX_HOUR_ROWS]]

    def _is_over(self, hour: float, now: float) -> bool:
        idle, opened = now - self._last[hour], now - self._opened[hour]
        return idle >= MAX_IDLE_SECONDS or opened >= self._max_open


def _by_last_row(hours: Float64) -> list[float]:
    """Each hour once, in the order of the last row of each."""
    found, place = np.unique(hours[::-1], return_index=True)
    found, place = found[~np.isnan(found)], place[~np.isnan(found)]
    in_order: list[float] = found[np.argsort(-place)].tolist()
    return in_order
