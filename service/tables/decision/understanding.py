"""What the values of a column are: numbers, times or classes, whether or not they stand as text."""

import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64, Word
from service.tables.dates import DATES, form_of, is_form, seconds_of
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

# A column in which a larger share of values is written as numbers or times is one of these, and the
# others are faults.
MOSTLY = 0.9
HALF = 0.5

# Texts with units or signs are numbers where there are more of them than this; fewer are classes.
MIN_NUMBERS_WITH_SIGNS = 12

# Numbers and texts that are classes together: not more, and each text in so many rows.
FEW_WORDS = 16
OFTEN = 5

DATE_SAMPLE = 20

# Up to here float64 has every whole number.
MAX_WHOLE = 2**53


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
        is_closed: whether there can be no other classes: of truth values.
        time_form: of times, see `dates.is_form`.
        note: what could be otherwise, for people.
        pinned: the kind that an override would name to make sure of it; empty where nothing is
            doubtful.
    """

    form: Literal["numbers", "times", "classes"]
    values: NDArray[np.generic]
    words: tuple[Word, ...] = ()
    single: bool = False
    is_closed: bool = False
    time_form: str = ""
    note: str = ""
    pinned: str = ""

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
        as_kind: the kind that the user names: of `decide.KINDS`, `datetime` also with a form behind
            it.

    Raises:
        Fault: most values are numbers or times and one is not; or they are not what the user says.
    """
    if as_kind == "categorical":
        return _classes(raw)
    if raw.form == "words":
        return _of_words(raw, as_kind)
    if as_kind is not None and as_kind.startswith("datetime") and raw.form == "numbers":
        raise Fault("it holds numbers, no times", 0)
    if as_kind is None and raw.form == "numbers" and _are_beyond_floats(raw):
        note = "whole numbers that float64 cannot tell apart are classes"
        return replace(_classes(raw), note=note)
    values = raw.values.astype(np.float64)
    values[raw.missing] = np.nan
    if raw.form == "times" and as_kind not in ("numeric", "lattice"):
        return Understood("times", values, time_form=raw.time_form)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise Fault(f"expected finite numbers, got {raw.value(row)}", row)
    return Understood("numbers", values, single=_is_single(raw.values, values))


def _are_beyond_floats(raw: RawColumn) -> bool:
    """Whether some whole numbers differ that float64 cannot tell apart."""
    if raw.values.dtype.kind not in "iu" or not len(raw):
        return False
    present = raw.values[~raw.missing]
    if not len(present) or max(int(present.max()), -int(present.min())) <= MAX_WHOLE:
        return False
    return len(np.unique(present)) > len(np.unique(present.astype(np.float64)))


def _is_single(raw: NDArray[np.generic], values: Float64) -> bool:
    """Whether float32 held these numbers before: all are numbers of it, and some need it."""
    if raw.dtype.kind != "f" or raw.dtype.itemsize < 8:
        return raw.dtype.kind == "f"
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32).astype(np.float64)
    return bool((narrow == values)[~np.isnan(values)].all())


def _of_words(raw: RawColumn, as_kind: str | None) -> Understood:
    texts = [word for word in raw.words if isinstance(word, str)]
    if len(texts) < len(raw.words):  # truth values
        if as_kind is not None:
            raise Fault(f"it holds {raw.value(0)}, nothing {as_kind}", 0)
        return _classes(raw)
    if as_kind in ("numeric", "lattice"):
        return _numbers(raw)
    if as_kind is not None:  # datetime
        return _times(raw, as_kind.partition(" ")[2])
    counts = _counts(raw)
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
            return _numbers(raw)
    elif plain and not others:
        note = "numbers that begin with 0 are codes; of kind lattice they are numbers"
        return replace(_classes(raw), note=note)
    if len(others) > MIN_NUMBERS_WITH_SIGNS and _have_one_sign(others):
        return _numbers(raw)
    if _are_times(others, counts):
        return _times(raw, "")
    return _classes(raw)


def _counts(raw: RawColumn) -> dict[str, int]:
    counts = np.bincount(raw.values[~raw.missing].astype(np.int64), minlength=len(raw.words))
    return {str(word): int(count) for word, count in zip(raw.words, counts, strict=True)}


def _have_one_sign(texts: list[str]) -> bool:
    """Whether all the texts are numbers but for the same sign or unit."""
    causes = {cause(text) for text in texts}
    units = {re.sub(r"[\d.,\s+-]", "", text) for text in texts}
    return len(causes) == 1 and causes != {""} and len(units) == 1


def _are_times(texts: list[str], counts: dict[str, int]) -> bool:
    """Whether most of the texts are times, of one form or of several, which are faults."""
    if not texts or form_of(texts) is not None:
        return bool(texts)
    if not np.mean([_may_be_time(text) for text in texts[:DATE_SAMPLE]]) > HALF:
        return False
    wrong = np.array([not _may_be_time(text) for text in texts])
    rows = np.array([counts[text] for text in texts])
    return bool(rows[wrong].sum() < (1 - MOSTLY) * rows.sum())


def _may_be_time(text: str) -> bool:
    """Whether a text is a time in any form."""
    return any(not np.isnan(seconds_of([text], form)[0]) for form in (*DATES, ""))


def _numbers(raw: RawColumn) -> Understood:
    """Texts as numbers.

    Raises:
        Fault: one is none.
    """
    texts = [str(word) for word in raw.words]
    read = [number_in(text) for text in texts]
    numbers = np.array([np.nan if number is None else number for number in read])
    wrong = [i for i, text in enumerate(texts) if read[i] is None and not is_marker(text)]
    _check_words(raw, wrong, "no number")
    values = _looked_up(raw, numbers)
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise Fault(f"expected finite numbers, got {raw.value(row)}", row)
    return Understood("numbers", values)


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
        form = min(DATES, key=lambda date: float(np.isnan(seconds_of(plain, date)).mean()))
    seconds = seconds_of(texts, form)
    wrong = [i for i, text in enumerate(texts) if np.isnan(seconds[i]) and not is_marker(text)]
    _check_words(raw, wrong, f"no time of the form {form}")
    values = _looked_up(raw, seconds)
    return Understood("times", values, time_form=form, note=note, pinned=pinned)


def _check_words(raw: RawColumn, wrong: list[int], what: str) -> None:
    """Check that no word is wrong.

    Raises:
        Fault: of the first row that has such a word; says how many have.
    """
    rows = np.flatnonzero(np.isin(raw.values, wrong) & ~raw.missing)
    if not len(rows):
        return
    row = int(rows[0])
    why = cause(str(raw.words[int(raw.values[row])]))
    values = len(raw) - int(raw.missing.sum())
    others = f", nor are {len(rows) - 1} more of {values} values" * (len(rows) > 1)
    raise Fault(f"{raw.value(row)}{f', which {why},' * bool(why)} is {what}{others}", row)


def _looked_up(raw: RawColumn, values: Float64) -> Float64:
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
    return Understood("classes", codes, words=tuple(map(as_class, distinct.tolist())))


def as_class(number: float) -> int | float:
    """A number as a class: a whole one as an int."""
    return int(number) if number == int(number) else float(number)
