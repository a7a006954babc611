"""Numbers as they came, where float64 has others in their place: other formats have these."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64, Word
from service.tables.raw import RawColumn
from service.tables.words import number_of, whole_in
from service.tables.writing import MAX_WHOLE

# Of `MAX_WHOLE`; a text of fewer is no larger.
DIGITS_OF_MAX_WHOLE = 16


def floats(raw: RawColumn) -> tuple[Float64, NDArray[Any] | None]:
    """Numbers or times as float64; and as they came, see `Understood`.

    A text that is no number is infinity, and one that stands for nothing is anything.
    """
    if raw.form == "words":
        read = [number_of(word) for word in raw.words]
        numbers = np.array([np.inf if n is None else n for n in read] or [np.nan])
        words = ["0" if n != n else word for n, word in zip(read, raw.words, strict=True)]
        long = None if None in read else long_numbers(words)
        return numbers[raw.values], None if long is None else long[raw.values]
    values = raw.values.astype(np.float64)
    is_long = raw.values.dtype.kind in "iu" and bool((np.abs(values) >= MAX_WHOLE).any())
    return values, raw.values if raw.is_single or is_long else None


def long_numbers(words: Sequence[Word]) -> NDArray[Any] | None:
    """Words as whole numbers; None where one is none, or where float64 has them all."""
    if all(isinstance(word, str) and len(word) < DIGITS_OF_MAX_WHOLE for word in words):
        return None
    whole = [whole_in(word) for word in words]
    if None in whole or max(map(abs, filter(None, whole)), default=0) <= MAX_WHOLE:
        return None
    return np.array(whole, object)


def are_beyond_floats(numbers: NDArray[Any] | None) -> bool:
    """Whether some of these whole numbers differ, and float64 cannot tell them apart."""
    if numbers is None or numbers.dtype.kind == "f":
        return False
    distinct = np.unique(numbers)
    return len(distinct) > len(np.unique(distinct.astype(np.float64)))


def is_single(raw: NDArray[np.generic], values: Float64) -> bool:
    """Whether float32 held these numbers before: all are numbers of it, and some need it."""
    if raw.dtype.kind != "f" or raw.dtype.itemsize < 8:
        return raw.dtype.kind == "f"
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32).astype(np.float64)
    return bool((narrow == values)[~np.isnan(values)].all())


def shortest(number: float | np.float32) -> float:
    """A number of float32 in its shortest digits, as text has it."""
    return float(str(np.float32(number)))


def as_class(number: float | np.float32) -> Word:
    """A number as a class: a whole one as an int, and of float32 its shortest digits.

    Of more than 64 bits, which JSON has no numbers of, it is a float, or its digits as text.
    """
    exact = shortest(number) if isinstance(number, np.float32) else number
    if exact != int(exact):
        return float(exact)
    if -(2**63) <= exact < 2**64:
        return int(exact)
    return str(exact) if isinstance(exact, int) else float(exact)
