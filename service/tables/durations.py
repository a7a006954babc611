"""Durations that are written as text: in which form, read as seconds and written."""

import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = 10**9
OF_DAY, OF_HOUR, OF_MINUTE = 86400 * NANOSECONDS, 3600 * NANOSECONDS, 60 * NANOSECONDS

# Longer ones are written as so long; those that are read have at most so many digits.
MAX_SECONDS = 1e15

# Longer texts are none; blanks may be many.
MAX_CHARACTERS = 100

SIGN, FRACTION = r"(?P<sign>[+-]?)", r"(?P<f>\.\d{1,9})?"
CLOCK = rf"{SIGN}(?P<H>\d{{1,12}}):(?P<M>[0-5]\d):(?P<S>[0-5]\d){FRACTION}"


def _of_unit(key: str, names: str, fraction: str = r"(?:\.\d{1,9})?") -> str:
    """A number and its unit, behind which the next number or the end comes."""
    number = rf"(?P<{key}>\d{{1,12}}{fraction})"
    return rf"(?:{number} *(?:{names})(?:,? *(?:and +)?(?=\d)|$))?"


# Units of one letter are small ones, since 5M are five millions; there are no weeks, of which some
# have five days, nor months and years.
WITH_UNITS = (
    rf"(?=.*\d){SIGN}"
    + _of_unit("D", "d|(?i:days?)")
    + _of_unit("H", "h|(?i:hrs?|hours?)")
    + _of_unit("M", "m|(?i:mins?|minutes?)")
    + _of_unit("S", "s|(?i:secs?|seconds?)")
    + _of_unit("ms", "ms|(?i:msecs?|milliseconds?)", r"(?:\.\d{1,6})?")
    + _of_unit("us", "[uµμ]s|(?i:microseconds?)", r"(?:\.\d{1,3})?")
    + _of_unit("ns", "ns|(?i:nanoseconds?)", "")
)

DURATIONS: dict[str, re.Pattern[str]] = {
    form: re.compile(text, re.ASCII)
    for form, text in {
        "%H:%M:%S": CLOCK,
        "%d days %H:%M:%S": r"(?=.*\d)(?:(?P<d>[+-]?\d{1,12})(?: days?,?(?: +|$)| ?d,? +(?=\S+:)))?"
        rf"(?:{CLOCK})?",
        "%M:%S": rf"{SIGN}(?P<M>\d{{1,12}}):(?P<S>[0-5]\d){FRACTION}",
        "%H:%M": rf"{SIGN}(?P<H>\d{{1,12}}):(?P<M>[0-5]\d)(?::(?P<S>[0-5]\d){FRACTION})?",
        "P%dDT%HH%MM%SS": rf"(?=.*\d){SIGN}P(?:(?P<D>\d{{1,12}})D)?"
        r"(?:T(?=\d)(?:(?P<H>\d{1,12})H)?(?:(?P<M>\d{1,12})M)?(?:(?P<S>\d{1,12})(?P<f>\.\d{1,9})?S)?)?",
        "%dd %Hh %Mm %Ss": WITH_UNITS,
    }.items()
}
"""Forms of durations. Hours or minutes that come first may be more than a day or an hour has. Days
before a clock are as pandas, Python and SQL have them (-1 days +23:00:00 is minus one hour). The
form with a P is that of ISO 8601; the last one has units, of which any are left out, and those that
are written `1 h 23 min` or `1 hour, 23 minutes` are of it too."""

CLOCK_FORM = "%H:%M:%S"
"""How durations are written that come as numbers of a type of their own."""

CLEAR = tuple(form for form in DURATIONS if form not in ("%M:%S", "%H:%M"))
"""Forms that are not taken for each other: 1:23 may be minutes or hours."""

UNITS = {
    "D": OF_DAY, "H": OF_HOUR, "M": OF_MINUTE, "S": NANOSECONDS, "ms": 10**6, "us": 10**3, "ns": 1
}  # fmt: skip


def durations_of(texts: Iterable[str], form: str) -> NDArray[np.float64]:
    """Seconds of texts in one of `DURATIONS`, or in one of `CLEAR`; NaN of others."""
    forms = tuple(dict.fromkeys((form, *CLEAR)))
    return np.array([_seconds(text, forms) for text in texts], np.float64)


def are_in(texts: Iterable[str], form: str) -> NDArray[np.bool_]:
    """Which texts are in one of `DURATIONS`."""
    return np.array([not math.isnan(_seconds(text, (form,))) for text in texts], np.bool_)


def _seconds(text: str, forms: Iterable[str]) -> float:
    """Seconds of a text in the first of some forms that it is in; NaN in none."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        return float("nan")
    match = next(filter(None, (DURATIONS[form].fullmatch(text) for form in forms)), None)
    if match is None:
        return float("nan")
    parts = match.groupdict()
    given = [(parts[unit], size) for unit, size in UNITS.items() if parts.get(unit)]
    if any("." in number for number, _ in given[:-1]):  # 1.5h 20m
        return float("nan")
    # whole nanoseconds of each
    count = sum(int(Decimal(n) * size) if "." in n else int(n) * size for n, size in given)
    count += int((parts.get("f") or "").removeprefix(".").ljust(9, "0"))
    days = int(parts.get("d") or 0) * OF_DAY  # with a sign of their own
    return (days + (-count if parts["sign"] == "-" else count)) / NANOSECONDS


def duration_texts(seconds: NDArray[np.float64], form: str) -> list[str]:
    """Durations in one of `DURATIONS`, with as many digits of a second as they have, nine at most.

    What `durations_of` reads of them are the same numbers, if they had no more digits.
    """
    write = WRITERS[form]
    return [
        write(int(Decimal(repr(each)).scaleb(9).to_integral_value()))
        for each in np.clip(seconds, -MAX_SECONDS, MAX_SECONDS).tolist()
    ]


def _clock(count: int) -> str:
    minutes, rest = divmod(abs(count), OF_MINUTE)
    return f"{'-' * (count < 0)}{minutes // 60:02d}:{minutes % 60:02d}:{_digits(rest, '02d')}"


def _days(count: int) -> str:
    days, rest = divmod(count, OF_DAY)
    return f"{days} days {'+' * (days < 0)}{_clock(rest)}"


def _minutes(count: int) -> str:
    minutes, rest = divmod(abs(count), OF_MINUTE)
    return f"{'-' * (count < 0)}{minutes:02d}:{_digits(rest, '02d')}"


def _hours(count: int) -> str:
    return _clock(count).removesuffix(":00") if count % OF_MINUTE == 0 else _clock(count)


def _iso(count: int) -> str:
    days, *clock = _with_units(count, "DHMS")
    return "-" * (count < 0) + "P" + days + "T" * any(clock) + "".join(clock)


def _units(count: int) -> str:
    return "-" * (count < 0) + " ".join(filter(None, _with_units(count, "dhms")))


def _with_units(count: int, units: str) -> list[str]:
    """Days, hours, minutes and seconds with their units, empty where there are none."""
    days, rest = divmod(abs(count), OF_DAY)
    hours, rest = divmod(rest, OF_HOUR)
    minutes, rest = divmod(rest, OF_MINUTE)
    whole = zip((days, hours, minutes), units[:3], strict=True)
    seconds = f"{_digits(rest, 'd')}{units[3]}" * (rest > 0 or count == 0)
    return [*(f"{number}{unit}" * (number > 0) for number, unit in whole), seconds]


def _digits(count: int, whole: str) -> str:
    """Nanoseconds as seconds, without zeros at their end."""
    seconds, rest = divmod(count, NANOSECONDS)
    return f"{seconds:{whole}}" + f".{rest:09d}".rstrip("0") * (rest > 0)


WRITERS: dict[str, Callable[[int], str]] = {
    CLOCK_FORM: _clock,
    "%d days %H:%M:%S": _days,
    "%M:%S": _minutes,
    "%H:%M": _hours,
    "P%dDT%HH%MM%SS": _iso,
    "%dd %Hh %Mm %Ss": _units,
}
