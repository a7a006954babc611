"""Times that are written as text: in which form, read and written."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from service.tables.columns import Float64

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86400.0
FIRST = (datetime(1000, 1, 1, tzinfo=UTC) - EPOCH).total_seconds()
LAST = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH).total_seconds()

WRITTEN_TIMES = (FIRST, LAST)
"""The first and the last time that are written; others are written as the nearest of them."""

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

YEAR, MONTH, DAY_OF_MONTH = r"(?P<Y>\d{4})", r"(?P<m>\d{1,2})", r"(?P<d>\d{1,2})"
NAME_OF_MONTH = r"(?P<b>[A-Za-z]{3})[a-z]*\.?"

DATES: dict[str, re.Pattern[str]] = {
    form: re.compile(text)
    for form, text in {
        "%Y-%m-%d": rf"{YEAR}-{MONTH}-{DAY_OF_MONTH}",
        "%Y/%m/%d": rf"{YEAR}/{MONTH}/{DAY_OF_MONTH}",
        "%d.%m.%Y": rf"{DAY_OF_MONTH}\.{MONTH}\.{YEAR}",
        "%d/%m/%Y": rf"{DAY_OF_MONTH}/{MONTH}/{YEAR}",
        "%m/%d/%Y": rf"{MONTH}/{DAY_OF_MONTH}/{YEAR}",
        "%d-%m-%Y": rf"{DAY_OF_MONTH}-{MONTH}-{YEAR}",
        "%m-%d-%Y": rf"{MONTH}-{DAY_OF_MONTH}-{YEAR}",
        "%d %b %Y": rf"{DAY_OF_MONTH}[ -]{NAME_OF_MONTH}[ -]{YEAR}",
        "%b %d, %Y": rf"{NAME_OF_MONTH} {DAY_OF_MONTH},? {YEAR}",
    }.items()
}
"""Forms of dates, as `datetime.strftime` has them."""

SECOND = r"(?::(?P<S>\d{2})(?P<f>\.\d{1,9})?)?"
TIME = rf"(?P<H>\d{{1,2}}):(?P<M>\d{{2}}){SECOND}"
HOUR_OR_TIME = rf"(?P<H>\d\d|\d(?=:))(?::(?P<M>\d{{2}}){SECOND})?"
ZONE = r"(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?(?: ?(?P<z>Z|UTC|[+-]\d\d(?::?\d\d)?))?"
TIME_OF_DAY = re.compile(TIME)
CLOCKS = ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M")
FORM = re.compile(
    rf"(?P<date>{'|'.join(map(re.escape, DATES))})?(?P<between>[T ])?"
    rf"(?P<clock>{'|'.join(map(re.escape, CLOCKS))})?(?P<zone>%z)?"
)


def is_form(form: str) -> bool:
    """Whether times can be read and written in a form such as `%d/%m/%Y %H:%M`."""
    match = FORM.fullmatch(form)
    if match is None:
        return False
    date, between, clock = match["date"], match["between"], match["clock"]
    return bool(date or clock) and bool(between) == bool(date and clock)


def form_of(texts: Sequence[str]) -> tuple[str, str] | None:
    """The form that all the texts are in, and what is said where it could be another.

    None where they are no times. Of days before months and months before days, which the same
    texts can be, it is the one in which they span less time.
    """
    if not texts or not any(character.isdigit() for character in texts[0]):
        return None
    forms = [form for form in (*DATES, "") if not np.isnan(seconds_of(texts[:20], form)).any()]
    spans = {}
    for form in forms:
        seconds = seconds_of(texts, form)
        if not np.isnan(seconds).any():
            spans[form] = float(np.ptp(seconds))
    if not spans:
        return None
    date = min(spans, key=spans.__getitem__)
    others = [form for form in spans if form != date]
    said = f"{date} is taken for their form, which could be {others[0]}" if others else ""
    return date + _clock_of(texts, date), said


def _clock_of(texts: Sequence[str], date: str) -> str:
    """How the time of day and the zone are written: as exactly as the most exact of the texts."""
    if not date:
        exact = max(text.count(":") + text.count(".") for text in texts)
        return CLOCKS[max(0, 3 - exact)]
    pattern = _pattern(date)
    matches = [match for match in (pattern.fullmatch(text.strip()) for text in texts) if match]
    timed = [match for match in matches if match["H"]]
    if not timed:
        return ""
    clock = CLOCKS[2]
    if any(match["f"] for match in timed):
        clock = CLOCKS[0]
    elif any(match["S"] for match in timed):
        clock = CLOCKS[1]
    between = "T" if "T" in timed[0].string else " "
    return between + clock + "%z" * any(match["z"] for match in timed)


def _pattern(date: str) -> re.Pattern[str]:
    """Times with a date of a form, or without one; an hour without minutes is of ISO 8601 alone."""
    if not date:
        return TIME_OF_DAY
    time = HOUR_OR_TIME if date == "%Y-%m-%d" else TIME
    return re.compile(rf"{DATES[date].pattern}(?:(?:T| +){time}{ZONE})?")


def seconds_of(texts: Iterable[str], form: str) -> Float64:
    """Seconds since 1970 in UTC of texts in a form; NaN for those that are in another.

    The time of day may be more or less exact than the form has it. Times without a zone are in UTC.

    Args:
        texts: of times.
        form: as of `form_of`; of its date alone, or empty for times of day.
    """
    parts = FORM.fullmatch(form)
    date = parts["date"] or "" if parts else form
    pattern = _pattern(date)
    return np.array([_seconds(pattern.fullmatch(text.strip())) for text in texts], np.float64)


def _seconds(match: re.Match[str] | None) -> float:
    if match is None:
        return float("nan")
    parts = match.groupdict()
    hour, minute, second = (int(parts[key] or 0) for key in "HMS")
    if parts.get("p"):
        if not 1 <= hour <= 12:
            return float("nan")
        hour = hour % 12 + 12 * (parts["p"].lower() == "p")
    if hour > 23 or minute > 59 or second > 59:
        return float("nan")
    seconds = 3600 * hour + 60 * minute + second + float(parts["f"] or 0)
    if parts.get("Y") is None:
        return seconds
    month = parts.get("m") or _month(parts["b"])
    try:
        days = datetime(int(parts["Y"]), int(month), int(parts["d"])).toordinal()
    except ValueError:
        return float("nan")
    return (days - EPOCH.toordinal()) * DAY + seconds - _offset(parts["z"])


def _month(name: str) -> int:
    return MONTHS.index(name.lower()) + 1 if name.lower() in MONTHS else 0


def _offset(zone: str | None) -> float:
    """Seconds that a zone is ahead of UTC."""
    if zone in (None, "Z", "UTC"):
        return 0.0
    assert zone is not None
    digits = zone[1:].replace(":", "")
    return (3600 * int(digits[:2]) + 60 * int(digits[2:] or 0)) * (-1 if zone[0] == "-" else 1)


def texts_of(seconds: Float64, form: str) -> list[str]:
    """Times in a form; a zone is written as Z, since all are in UTC.

    Times before the year 1000 or after 9999 are written as the nearest that are not.
    """
    written = form.replace("%z", "Z")
    seconds = np.clip(seconds, FIRST, LAST)
    return [
        (EPOCH + timedelta(microseconds=round(each * 1e6))).strftime(written)
        for each in seconds.tolist()
    ]
