"""Whether texts are times, or durations, and of which form these are."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from service.tables.dates import DATES, form_of, seconds_of
from service.tables.durations import DURATIONS, are_in, durations_of

# A column in which a larger share of values is written as numbers, times or durations is one of
# these, and the others are faults.
MOSTLY = 0.9
HALF = 0.5

# Texts with units or signs are measured where there are more of them than this; fewer are classes.
MIN_NUMBERS_WITH_SIGNS = 12

# Texts that are looked at before all are.
SAMPLE = 20

# Texts such as 1:23:45 are durations where so many rows have what no clock shows; or where the
# last of them is before this hour and seconds are written, as few things happen by night alone.
MIN_SHARE_BEYOND_A_DAY = 0.01
SECONDS_OF_NIGHT = 6 * 3600.0

# Two numbers, or a time of ISO 8601.
MORE_THAN_A_UNIT = re.compile(r"\d[^\d.]+\d|PT")
ONE_LETTER, SECONDS, WHOLE_TENS = map(re.compile, (r"\d *[dhm]$", r"\d *s$", r"0 *s$"))


def are_times(texts: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Whether most of the texts are times, of one form or of several, which are faults.

    Args:
        texts: each once.
        counts: in how many rows each stands.
    """
    if not texts or form_of(texts) is not None:
        return bool(texts)
    if not np.mean([_may_be_time(text) for text in texts[:SAMPLE]]) > HALF:
        return False
    wrong = np.array([not _may_be_time(text) for text in texts])
    rows = np.array([counts[text] for text in texts])
    return bool(rows[wrong].sum() < (1 - MOSTLY) * rows.sum())


def _may_be_time(text: str) -> bool:
    """Whether a text is a time in any form."""
    return any(not np.isnan(seconds_of([text], form)[0]) for form in (*DATES, ""))


def is_duration(text: str) -> bool:
    """Whether a text is a duration in any form; times of day are, too."""
    return any(are_in([text], form)[0] for form in DURATIONS)


def durations_form(texts: Sequence[str], counts: Mapping[str, int]) -> str | None:
    """The form of durations that most of the texts are in; None where they are in none.

    Args:
        texts: each once.
        counts: in how many rows each stands.
    """
    if not texts or not np.mean([is_duration(text) for text in texts[:SAMPLE]]) > HALF:
        return None
    rows = np.array([counts[text] for text in texts])
    are_read = {form: ~np.isnan(durations_of(texts, form)) for form in DURATIONS}
    read = {
        form: (rows[are_read[form]].sum(), rows[are_in(texts, form)].sum()) for form in DURATIONS
    }
    best = max(read, key=read.__getitem__)
    return best if read[best][0] > MOSTLY * rows.sum() else None


def have_one_unit(texts: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Whether durations have one number and one unit each, as codes and sizes have, too.

    5m are minutes, metres or a class of shoes, 3d are days or dimensions, 8h is also a time of day,
    90s may be years, and of three terms `5 min`, `10 min` and `15 min` a table has classes. Nothing
    but a duration is `1h 23m`, `2 days 03:00:00` or PT5M: it takes such texts in one row of a
    hundred for a column to be durations by itself.

    Args:
        texts: each once.
        counts: in how many rows each stands.
    """
    rows = np.array([counts[text] for text in texts])
    has_more = np.array([MORE_THAN_A_UNIT.search(text) is not None for text in texts])
    return bool(rows[has_more].sum() < MIN_SHARE_BEYOND_A_DAY * rows.sum())


def said_of_durations(
    texts: Sequence[str], counts: Mapping[str, int], form: str
) -> tuple[str, str] | None:
    """What is said of durations that could be otherwise, and the kind that makes sure of them.

    Args:
        texts: each once.
        counts: in how many rows each stands.
        form: that most of them are in.

    Returns:
        Two texts, empty where nothing is doubtful; None of what may be something else: times of
        day, and numbers with one unit.
    """
    if have_one_unit(texts, counts):
        return _said_of_one_unit(texts)
    of_day, seconds = seconds_of(texts, ""), durations_of(texts, form)
    rows = np.array([counts[text] for text in texts])
    is_beyond = np.isnan(of_day) & ~np.isnan(seconds)
    if rows[is_beyond].sum() >= MIN_SHARE_BEYOND_A_DAY * rows.sum():
        if form == "%M:%S" and not np.isnan(durations_of(texts, "%H:%M")).any():
            said = "%M:%S is taken for the form of its durations, which could be %H:%M"
            return said, "duration %M:%S"
        return "", ""
    with_seconds = form == "%H:%M:%S" and (seconds % 60 > 0).any()
    if with_seconds and not is_beyond.any() and np.nanmax(seconds) < SECONDS_OF_NIGHT:
        said = "its times, all before 06:00, are taken for durations: kind datetime says otherwise"
        return said, "duration"
    return None


def _said_of_one_unit(texts: Sequence[str]) -> tuple[str, str] | None:
    """The same of texts with one unit each; None where they may be something else.

    They are durations where there are more of them than of a few terms, and no unit of them is one
    of the letters d, h and m; of s there are seconds that are not whole tens, as those of years.
    """
    if len(texts) <= MIN_NUMBERS_WITH_SIGNS or any(map(ONE_LETTER.search, texts)):
        return None
    seconds = [text for text in texts if SECONDS.search(text)]
    if not seconds:
        return "", ""
    if all(map(WHOLE_TENS.search, seconds)):
        return None
    said = (
        f"its texts, such as {seconds[0]!r}, are taken for seconds: kind categorical says otherwise"
    )
    return said, "duration"
