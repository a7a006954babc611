"""What the values of a column are: numbers, times or classes, whether or not they stand as text."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64, Word
from service.tables.dates import CLOCKS, DATES, form_of, is_form, seconds_of
from service.tables.decision.clocks import (
    HALF,
    are_times,
    durations_form,
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
from service.tables.durations import DURATIONS, durations_of
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

# Texts with units or signs are numbers where there are more of them than this; fewer are classes.
MIN_NUMBERS_WITH_SIGNS = 12

# Numbers and texts that are classes together: not more, and each text in so many rows.
FEW_WORDS = 16
OFTEN = 5

BEYOND_FLOATS = "whole numbers that float64 cannot tell apart are classes"


class Fault(Exception):  # noqa: N818  it is said of a column, together with those of others
    """Why a column is of no kind, and the row of the value that is why."""

    def __init__(self, text: str, row: int) -> None:
        super().__init__(text)
        self.row = row


@dataclass(frozen=True)
class Understood:
    """The values of a column.

    Args:
        form: what they are.
        values: N; numbers or seconds with NaN where missing, or codes with −1 where missing.
        words: of codes; text, truth values or numbers.
        single: whether the numbers are float32.
        exact: N, the numbers as they came, where that was as float32, or as whole numbers that
            float64 rounds; None where these are `values`.
        is_closed: whether there can be no other classes: of truth values.
        time_form: of times, see `dates.is_form`.
        duration: of numbers that are written as durations, one of `durations.DURATIONS`.
        note: what could be otherwise, for people.
        pinned: the kind that an override would name to make sure of it; empty where nothing is
            doubtful.
    """

    form: Literal["numbers", "times", "classes"]
    values: NDArray[np.generic]
    words: tuple[Word, ...] = ()
    single: bool = False
    exact: NDArray[np.generic] | None = None
    is_closed: bool = False
    time_form: str = ""
    duration: str | None = None
    note: str = ""
    pinned: str = ""

    @property
    def came_single(self) -> bool:
        """Whether the numbers came as float32."""
        return self.exact is not None and self.exact.dtype == np.float32

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether a value is missing, N."""
        if self.form == "classes":
            return self.values < 0  # type: ignore[operator,no-any-return]
        return np.isnan(self.values.astype(np.float64))


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
    if raw.form == "times" and as_kind not in ("numeric", "lattice"):
        if as_kind is not None and as_kind.startswith("duration"):
            raise Fault("it holds times, no durations", 0)
        return Understood("times", values, time_form=raw.time_form)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise Fault(f"expected finite numbers, got {raw.value(row)}", row)
    return Understood("numbers", values, single=is_single(raw.values, values), exact=exact)


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
    if len(others) > MIN_NUMBERS_WITH_SIGNS and _have_one_sign(others):
        return _numbers(raw)
    form = durations_form(others, counts)
    if form is not None and (said := said_of_durations(others, counts, form)) is not None:
        return replace(_durations(raw, form), note=said[0], pinned=said[1])
    if are_times(others, counts):
        return _times(raw, "")
    return _classes(raw)


def _of_kind(raw: RawColumn, counts: dict[str, int], kind: str, form: str) -> Understood:
    """Texts as the user says: numbers, which durations are as well, or times."""
    if kind == "datetime":
        return _times(raw, form)
    plain = [text for text in counts if not is_marker(text)]
    found = form or durations_form(plain, counts)
    if kind == "duration" and found not in DURATIONS:
        what = "its values are none" if not form else f"{form!r} is no form of them"
        raise Fault(f"expected durations, {what}: the forms are {', '.join(DURATIONS)}", 0)
    return _numbers(raw) if found is None else _durations(raw, found)


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
    values = _looked_up(raw, numbers, are_read, "no number")
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
    what, are_times = f"no time of the form {form}", ~np.isnan(seconds)
    if any(is_duration(texts[i]) for i in np.flatnonzero(~are_times)[:20]):
        what += " (kind duration takes its values for durations)"
    values = _looked_up(raw, seconds, are_times, what)
    return Understood("times", values, time_form=form, note=note, pinned=pinned)


def _durations(raw: RawColumn, form: str) -> Understood:
    """Texts as durations.

    Raises:
        Fault: one is none.
    """
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
