"""References of online conformal p-values by the hour: rows are compared within theirs.

What a stream holds differs between the hours of a day, and is no change. Within an hour of the
day, or of the week, its rows are like the calibration rows of that hour. Ranked among these and
the stream's rows of the hour before them, p-values are independent and uniform wherever rows are
exchangeable within each class, in whatever order the classes come (Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World, 2005, section 4.5: Mondrian conformal predictors).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.conformal.urn import Urn, urn_of, urns_from_array, urns_to_array
from service.types import Float64

HOUR, DAY = 3600.0, 86400.0
DAY_HOURS, WEEK_HOURS = 24, 168

NO_HOUR = -1.0
"""The hour of a row whose time is missing."""

EDGES = 4096
"""Values that are kept of a column, of all classes together."""

MAX_CLASSES = 2048

MIN_CLASS_ROWS = 32
"""Calibration rows that a class has on average; of fewer, hours of the day or none are taken."""

MIN_CYCLES = 2
"""Days or weeks that calibration rows of an hour are of on average: one would stand for all."""


class HourClasses(NamedTuple):
    """What rows are compared with by the hour.

    Args:
        column: of the row, that has its time in seconds since 1970.
        cycle: hours after which they come again: `DAY_HOURS` or `WEEK_HOURS`.
        hours: m, of each class, ascending; `NO_HOUR` of missing times.
        classes: m, of a calibration by class the class; 0 without.
        urns: m × S, of scores, and of columns where there are some.
    """

    column: int
    cycle: int
    hours: Float64
    classes: Float64
    urns: list[list[Urn]]

    def number(self, times: Float64, classes: Float64 | None) -> NDArray[np.intp]:
        """The class of each row; m where there is none, as no calibration row was like it.

        Rows without a time are of none: as they come they have the course of their times.

        Args:
            times: n, in seconds since 1970; NaN where it is missing.
            classes: n, of a calibration by class.
        """
        keys = _keys(hours_of(times, self.cycle), _or_zeros(classes, times))
        known = _keys(self.hours, self.classes)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        is_known = (known[place] == keys) & ~np.isnan(times)
        return np.where(is_known, place, len(known))

    @property
    def span(self) -> float:
        """Seconds of which rows may have one time: those of an hour, or of dates those of a day."""
        are_dates = (self.hours[self.hours != NO_HOUR] % DAY_HOURS == 0).all()
        return DAY if are_dates else HOUR


def hours_of(times: Float64, cycle: int) -> Float64:
    """The hour of each time within a day or week, which begins on a Thursday; of NaN `NO_HOUR`."""
    return np.where(np.isnan(times), NO_HOUR, np.floor(times / HOUR) % cycle)


def hour_classes(
    column: int,
    times: Float64,
    classes: Float64 | None,
    values: Float64,
    random: np.random.Generator,
) -> HourClasses | None:
    """Classes by the hour of the week, or if rows are few by the hour of the day.

    Times alone decide: of scores that decided they would not be exchangeable with later ones.

    Args:
        column: of a row, that has its time.
        times: n, of the calibration rows, in seconds since 1970; NaN where it is missing.
        classes: n, of a calibration by class.
        values: n × S: of a row its score, and the values of its columns; NaN where it is missing.
        random: breaks ties.

    Returns:
        None where rows are too few or span too little for any; or all are of one hour.
    """
    cycle = _cycle(times, classes)
    if cycle is None:
        return None
    keys = _keys(hours_of(times, cycle), _or_zeros(classes, times))
    known, number = np.unique(keys, return_inverse=True)
    most = max(1, EDGES // len(known))
    ascending = np.where(np.isnan(values), np.inf, values)
    urns = [
        [urn_of(np.sort(of), None, most, random) for of in ascending[number == i].T]
        for i in range(len(known))
    ]
    return HourClasses(column, cycle, known.real, known.imag, urns)


def _cycle(times: Float64, classes: Float64 | None) -> int | None:
    """The longest cycle whose classes have enough rows."""
    known = times[~np.isnan(times)]
    seen = len(np.unique(np.floor(known / HOUR)))
    for cycle in (WEEK_HOURS, DAY_HOURS):
        hours = len(np.unique(hours_of(known, cycle)))
        number = len(np.unique(_keys(hours_of(times, cycle), _or_zeros(classes, times))))
        has_rows = number <= min(MAX_CLASSES, len(times) / MIN_CLASS_ROWS)
        if hours > 1 and has_rows and seen >= MIN_CYCLES * hours:
            return cycle
    return None


def _or_zeros(classes: Float64 | None, times: Float64) -> Float64:
    return np.zeros(len(times)) if classes is None else classes


def _keys(hours: Float64, classes: Float64) -> NDArray[np.complex128]:
    """Hours and classes as complex numbers, which numpy orders by the first, then the second."""
    keys = np.empty(len(hours), np.complex128)
    keys.real, keys.imag = hours, classes
    return keys


def hours_to_array(of: HourClasses) -> Float64:
    """Classes one beside another: column, cycle, hour, class; and urns as of `urns_to_array`."""
    parts = []
    for hour, its_class, urns in zip(of.hours, of.classes, of.urns, strict=True):
        array = urns_to_array(urns)
        head = np.array([of.column, of.cycle, hour, its_class], np.float64)
        parts.append(np.vstack([np.tile(head[:, None], array.shape[1]), array]))
    return np.hstack(parts)


def hours_from_array(array: Float64) -> HourClasses:
    """What `hours_to_array` has made an array of.

    Raises:
        ValueError: it holds no such classes.
    """
    if array.ndim != 2 or len(array) < 7 or array.size == 0:
        raise ValueError(f"expected 4 + 3 S × K values, got shape {array.shape}")
    (column, cycle, hours, classes), urns = array[:4], array[4:]
    if cycle[0] not in (DAY_HOURS, WEEK_HOURS) or (cycle != cycle[0]).any():
        raise ValueError(f"expected hours of a day or of a week, got {cycle[0]:g}")
    if not (0 <= column[0] < 2**31 and column[0] == int(column[0])) or (column != column[0]).any():
        raise ValueError("expected the number of one column of times")
    is_hour = (hours >= NO_HOUR) & (hours < cycle) & (hours == np.rint(hours))
    if not is_hour.all() or not np.isfinite(classes).all():
        raise ValueError("expected whole hours and finite classes")
    keys = _keys(hours, classes)
    if (keys[1:] < keys[:-1]).any():
        raise ValueError("expected classes in ascending order")
    begins = np.append(0, np.flatnonzero(keys[1:] != keys[:-1]) + 1)
    if len(begins) > MAX_CLASSES:
        raise ValueError(f"expected at most {MAX_CLASSES} classes, got {len(begins)}")
    parts = np.split(urns, begins[1:], axis=1)
    found = [urns_from_array(part) for part in parts]
    return HourClasses(int(column[0]), int(cycle[0]), hours[begins], classes[begins], found)
