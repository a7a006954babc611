"""Durations that are written as text: in which form, read as seconds and written."""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

NANOSECONDS = 10**9
OF_DAY, OF_HOUR, OF_MINUTE = 86400 * NANOSECONDS, 3600 * NANOSECONDS, 60 * NANOSECONDS

# Longer ones are written as so long; those that are read have at most so many digits.
MAX_SECONDS = 1e15

SIGN, FRACTION = r"(?P<sign>[+-]?)", r"(?P<f>\.\d{1,9})?"
CLOCK = rf"{SIGN}(?P<H>\d{{1,12}}):(?P<M>[0-5]\d):(?P<S>[0-5]\d){FRACTION}"

DURATIONS: dict[str, re.Pattern[str]] = {
    form: re.compile(text, re.ASCII)
    for form, text in {
        "%H:%M:%S": CLOCK,
        "%d days %H:%M:%S": rf"(?=.*\d)(?:(?P<d>[+-]?\d{{1,12}}) days?,?(?: +|$))?(?:{CLOCK})?",
        "%M:%S": rf"{SIGN}(?P<M>\d{{1,12}}):(?P<S>[0-5]\d){FRACTION}",
        "%H:%M": rf"{SIGN}(?P<H>\d{{1,12}}):(?P<M>[0-5]\d)(?::(?P<S>[0-5]\d){FRACTION})?",
        "P%dDT%HH%MM%SS": rf"(?=.*\d){SIGN}P(?:(?P<D>\d{{1,12}})D)?"
        r"(?:T(?=\d)(?:(?P<H>\d{1,12})H)?(?:(?P<M>\d{1,12})M)?(?:(?P<S>\d{1,12})(?P<f>\.\d{1,9})?S)?)?",
    }.items()
}
"""Forms of durations. Hours or minutes that come first may be more than a day or an hour has. Days
are as pandas, Python and SQL have them (-1 days +23:00:00 is minus one hour), and the last form is
that of ISO 8601."""

UNITS = {"D": OF_DAY, "H": OF_HOUR, "M": OF_MINUTE, "S": NANOSECONDS}


def durations_of(texts: Iterable[str], form: str) -> NDArray[np.float64]:
    """Seconds of texts in one of `DURATIONS`; NaN for those that are in another."""
    pattern = DURATIONS[form]
    return np.array([_seconds(pattern.fullmatch(text.strip())) for text in texts], np.float64)


def _seconds(match: re.Match[str] | None) -> float:
    if match is None:
        return float("nan")
    parts = match.groupdict()
    count = sum(int(parts.get(unit) or 0) * size for unit, size in UNITS.items())
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
    days, rest = divmod(abs(count), OF_DAY)
    hours, rest = divmod(rest, OF_HOUR)
    minutes, rest = divmod(rest, OF_MINUTE)
    clock = f"{hours}H" * (hours > 0) + f"{minutes}M" * (minutes > 0)
    clock += f"{_digits(rest, 'd')}S" * (rest > 0 or count == 0)
    return f"{'-' * (count < 0)}P{f'{days}D' * (days > 0)}{f'T{clock}' * bool(clock)}"


def _digits(count: int, whole: str) -> str:
    """Nanoseconds as seconds, without zeros at their end."""
    seconds, rest = divmod(count, NANOSECONDS)
    return f"{seconds:{whole}}" + f".{rest:09d}".rstrip("0") * (rest > 0)


WRITERS: dict[str, Callable[[int], str]] = {
    "%H:%M:%S": _clock,
    "%d days %H:%M:%S": _days,
    "%M:%S": _minutes,
    "%H:%M": _hours,
    "P%dDT%HH%MM%SS": _iso,
}
