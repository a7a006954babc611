"""Whether texts are times, or durations, and of which form these are."""

from collections.abc import Mapping, Sequence

import numpy as np

from service.tables.dates import DATES, form_of, seconds_of
from service.tables.durations import DURATIONS, durations_of

# A column in which a larger share of values is written as numbers, times or durations is one of
# these, and the others are faults.
MOSTLY = 0.9
HALF = 0.5

# Texts that are looked at before all are.
SAMPLE = 20

# Texts such as 1:23:45 are durations where so many rows have what no clock shows; or where the
# last of them is before this hour and seconds are written, as few things happen by night alone.
MIN_SHARE_BEYOND_A_DAY = 0.01
SECONDS_OF_NIGHT = 6 * 3600.0


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
    return any(not np.isnan(durations_of([text], form)[0]) for form in DURATIONS)


def durations_form(texts: Sequence[str], counts: Mapping[str, int]) -> str | None:
    """The form of durations that most of the texts are in; None where they are in none.

    Args:
        texts: each once.
        counts: in how many rows each stands.
    """
    if not texts or not np.mean([is_duration(text) for text in texts[:SAMPLE]]) > HALF:
        return None
    rows = np.array([counts[text] for text in texts])
    in_form = {form: rows[~np.isnan(durations_of(texts, form))].sum() for form in DURATIONS}
    best = max(in_form, key=in_form.__getitem__)
    return best if in_form[best] > MOSTLY * rows.sum() else None


def said_of_durations(
    texts: Sequence[str], counts: Mapping[str, int], form: str
) -> tuple[str, str] | None:
    """What is said of durations that could be otherwise, and the kind that makes sure of them.

    Args:
        texts: each once.
        counts: in how many rows each stands.
        form: that most of them are in.

    Returns:
        Two texts, empty where nothing is doubtful; None of times of day.
    """
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
