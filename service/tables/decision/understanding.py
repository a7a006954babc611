"""What the values of a column are: numbers, times or classes, whether or not they stand as text."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64
from service.tables.dates import CLOCKS, DATES, form_of, is_form, seconds_of
from service.tables.decision.clocks import (
    HALF,
    MIN_NUMBERS_WITH_SIGNS,
    SAMPLE,
    are_times,
    durations_form,
    have_one_unit,
    is_duration,
    said_of_durations,
)
from service.tables.decision.exact import (
    are_beyond_floats,
    as_class,
    floats,
    is_single,
    long_numbers,
)
from service.tables.decision.understood import Fault, Understood
from service.tables.durations import CLOCK_FORM, DURATIONS, are_in, durations_of
from service.tables.raw import RawColumn
from service.tables.words import (
    LEADING_ZERO,
    cause,
    gaps_of_classes,
    is_marker,
    is_number,
    number_in,
    truth,
)

# Numbers and texts that are classes together: not more, and each text in so many rows.
FEW_WORDS = 16
OFTEN = 5

BEYOND_FLOATS = "whole numbers that float64 cannot tell apart are classes"


def understand(raw: RawColumn, as_kind: str | None) -> Understood:
    """What the values of a column are.

    Args:
        raw: the column.
        as_kind: the kind that the user names: of `decide.KINDS`, `datetime` and `duration` also
            with a form behind it.

    Raises:
        Fault: most values are numbers or times and one is not; or they are not what the user says.
    """
    if as_kind == "categorical":
        return _classes(raw)
    if raw.form == "words" and not (raw.words and {*map(type, raw.words)} <= {int, float}):
        return _of_words(raw, as_kind)
    if as_kind is not None and as_kind.startswith("datetime") and raw.form != "times":
        raise Fault("it holds numbers, no times", 0)
    values, exact = floats(raw)
    if as_kind is None and exact is not None and are_beyond_floats(exact[~raw.missing]):
        return replace(_classes(raw), note=BEYOND_FLOATS)
    values[raw.missing] = np.nan
    duration = _duration(raw, as_kind)
    if raw.form == "times" and duration is None and as_kind not in ("numeric", "lattice"):
        return Understood("times", values, time_form=raw.time_form)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise Fault(f"expected finite numbers, got {raw.value(row)}", row)
    single = is_single(raw.values, values) and duration is None
    return Understood("numbers", values, single=single, exact=exact, duration=duration)


def _duration(raw: RawColumn, as_kind: str | None) -> str | None:
    """The form of durations that are no text: of such a type, or times of day that are to be such.

    Raises:
        Fault: the user calls dates durations, or names a form that is none.
    """
    if as_kind is None or not as_kind.startswith("duration"):
        return raw.duration
    if raw.form == "times" and not raw.is_of_day:
        raise Fault("it holds times, no durations", 0)
    form = as_kind.partition(" ")[2]
    found = form or (CLOCK_FORM if raw.form == "times" else raw.duration)
    return None if found is None else _checked(form, found)


def _of_words(raw: RawColumn, as_kind: str | None) -> Understood:
    texts = [word for word in raw.words if isinstance(word, str)]
    if len(texts) < len(raw.words):  # truth values
        if as_kind is not None:
            raise Fault(f"it holds {raw.value(0)}, nothing {as_kind}", 0)
        return _classes(raw)
    counts = _counts(raw)
    if as_kind is not None:
        return _of_kind(raw, counts, *as_kind.partition(" ")[::2])
    plain = {text for text in texts if is_number(text)}
    markers = {text for text in texts if text not in plain and is_marker(text)}
    others = [text for text in texts if text not in plain and text not in markers]
    if plain and not any(LEADING_ZERO.fullmatch(text.strip()) for text in plain):
        share = sum(counts[text] for text in plain) / sum(
            counts[text] for text in texts if text not in markers
        )
        # few texts that repeat, such as 0, 1, 2 and 3+, are classes
        are_classes = bool(others) and len(texts) <= FEW_WORDS
        if share > HALF and not (are_classes and min(counts[t] for t in others) >= OFTEN):
            if are_beyond_floats(long_numbers([*plain])):
                return replace(_classes(raw), note=BEYOND_FLOATS)
            return _numbers(raw)
    elif plain and not others:
        note = "numbers that begin with 0 are codes; of kind lattice they are numbers"
        return replace(_classes(raw), note=note)
    form = durations_form(others, counts)
    if form is not None and (said := said_of_durations(others, counts, form)) is not None:
        return replace(_durations(raw, form, counts), note=said[0], pinned=said[1])
    are_many = len(others) > MIN_NUMBERS_WITH_SIGNS
    if are_many and _have_one_sign(others):
        return _numbers(raw)
    if are_times(others, counts):
        return _times(raw, "")
    if are_many and form is not None:
        note = f"its texts, such as {others[0]!r}, are classes; of kind duration they are seconds"
        return replace(_classes(raw), note=note, pinned="categorical")
    return _classes(raw)


def _of_kind(raw: RawColumn, counts: dict[str, int], kind: str, form: str) -> Understood:
    """Texts as the user says: numbers, which durations are as well, or times."""
    if kind == "datetime":
        return _times(raw, form)
    plain = [text for text in counts if not is_marker(text)]
    found = form or durations_form(plain, counts)
    if kind == "duration":
        return _durations(raw, _checked(form, found), {} if form else counts)
    if found is None or have_one_unit(plain, counts):
        return _numbers(raw)
    return _durations(raw, found, counts)


def _checked(form: str, found: str | None) -> str:
    """The form of durations that the user names, or else the one that is found.

    Raises:
        Fault: it is none.
    """
    if found not in DURATIONS:
        what = "its values are none" if not form else f"{form!r} is no form of them"
        raise Fault(f"expected durations, {what}: the forms are {', '.join(DURATIONS)}", 0)
    return found


def _counts(raw: RawColumn) -> dict[str, int]:
    counts = np.bincount(raw.values[~raw.missing].astype(np.int64), minlength=len(raw.words))
    return {str(word): int(count) for word, count in zip(raw.words, counts, strict=True)}


def _have_one_sign(texts: list[str]) -> bool:
    """Whether all the texts are numbers but for the same sign or unit."""
    causes = {cause(text) for text in texts}
    units = {re.sub(r"[\d.,\s+-]", "", text) for text in texts}
    return len(causes) == 1 and causes != {""} and len(units) == 1


def _numbers(raw: RawColumn) -> Understood:
    """Texts as numbers.

    Raises:
        Fault: one is none.
    """
    texts = [str(word) for word in raw.words]
    read = [number_in(text) for text in texts]
    numbers = np.array([np.nan if number is None else number for number in read])
    are_read = np.array([number is not None for number in read], bool)
    what = "no number" + _hint_of_durations(texts, are_read)
    values = _looked_up(raw, numbers, are_read, what)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise Fault(f"expected finite numbers, got {raw.value(row)}", row)
    is_none = [number is None or number != number for number in read]
    exact = long_numbers(["0" if no else text for no, text in zip(is_none, texts, strict=True)])
    return Understood("numbers", values, exact=None if exact is None else exact[raw.values])


def _times(raw: RawColumn, form: str) -> Understood:
    """Texts as times.

    Raises:
        Fault: one is none, or the form is none.
    """
    texts = [str(word) for word in raw.words]
    plain = [text for text in texts if not is_marker(text)]
    note = pinned = ""
    if form:
        if not is_form(form):
            raise Fault(f"{form!r} is no form of times such as %d/%m/%Y %H:%M", 0)
    elif found := form_of(plain):
        form, note = found
        pinned = f"datetime {form}" if note else ""
    else:
        forms = (*DATES, CLOCKS[1])
        form = min(forms, key=lambda each: float(np.isnan(seconds_of(plain, each)).mean()))
    seconds = seconds_of(texts, form)
    are_times = ~np.isnan(seconds)
    what = f"no time of the form {form}" + _hint_of_durations(texts, are_times)
    values = _looked_up(raw, seconds, are_times, what)
    return Understood("times", values, time_form=form, note=note, pinned=pinned)


def _hint_of_durations(texts: Sequence[str], are_read: NDArray[np.bool_]) -> str:
    """What to do about texts that are not read, where durations are among them."""
    if any(is_duration(texts[i]) for i in np.flatnonzero(~are_read)[:SAMPLE]):
        return " (kind duration takes its values for durations)"
    return ""


def _durations(raw: RawColumn, form: str, counts: Collection[str]) -> Understood:
    """Texts as durations.

    Args:
        raw: the column.
        form: of the durations.
        counts: the texts that the form is found in; none where the user names it.

    Raises:
        Fault: one is none, or may be minutes or hours, beside others such as 1:02:03.
    """
    doubtful = [text for text in counts if form == "%H:%M" and are_in([text], "%M:%S")[0]]
    if doubtful:
        row = int((np.asarray(raw.words)[raw.values] == doubtful[0]).argmax())
        raise Fault(
            f"{doubtful[0]!r} may be minutes and seconds, or hours and minutes: kind duration "
            "%M:%S, or duration %H:%M, says which",
            row,
        )
    seconds = durations_of(map(str, raw.words), form)
    values = _looked_up(raw, seconds, ~np.isnan(seconds), f"no duration of the form {form}")
    return Understood("numbers", values, duration=form)


def _looked_up(raw: RawColumn, values: Float64, are_read: NDArray[np.bool_], what: str) -> Float64:
    """The values of a column by those of its words, NaN where one stands for nothing.

    Raises:
        Fault: of the first row whose word is not read, nor stands for nothing; says how many are.
    """
    wrong = [i for i in np.flatnonzero(~are_read) if not is_marker(str(raw.words[i]))]
    rows = np.flatnonzero(np.isin(raw.values, wrong) & ~raw.missing)
    if len(rows):
        row = int(rows[0])
        why = cause(str(raw.words[int(raw.values[row])]))
        count = len(raw) - int(raw.missing.sum())
        others = f", nor are {len(rows) - 1} more of {count} values" * (len(rows) > 1)
        raise Fault(f"{raw.value(row)}{f', which {why},' * bool(why)} is {what}{others}", row)
    result = values[raw.values] if len(values) else np.full(len(raw), np.nan)
    result[raw.missing] = np.nan
    return result


def _classes(raw: RawColumn) -> Understood:
    """Values as classes; texts that stand for nothing are missing."""
    if raw.form != "words":
        return _classes_of_numbers(raw)
    texts = [word for word in raw.words if isinstance(word, str)]
    gaps = gaps_of_classes(texts)
    kept = [code for code, word in enumerate(raw.words) if word not in gaps]
    renumbered = np.full(max(1, len(raw.words)), -1, np.int64)
    renumbered[kept] = np.arange(len(kept))
    codes = renumbered[raw.values]
    codes[raw.missing] = -1
    words = tuple(raw.words[code] for code in kept)
    closed = bool(words) and all(isinstance(word, bool) for word in words)
    if len(words) == 2 and all(isinstance(word, str) for word in words):
        closed = {truth(str(word)) for word in words} == {False, True}
    return Understood("classes", codes, words=words, is_closed=closed)


def _classes_of_numbers(raw: RawColumn) -> Understood:
    """Numbers, or times as they are written, as classes."""
    distinct, inverse = np.unique(raw.values[~raw.missing], return_inverse=True)
    codes = np.full(len(raw), -1, np.int64)
    codes[~raw.missing] = inverse
    if raw.form == "times":
        column = RawColumn("times", distinct, np.zeros(len(distinct), bool), (), raw.time_form)
        return Understood("classes", codes, words=tuple(map(column.value, range(len(distinct)))))
    numbers = distinct if raw.is_single else distinct.tolist()
    return Understood("classes", codes, words=tuple(map(as_class, numbers)))
