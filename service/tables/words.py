"""What a text in a table stands for: a number, nothing, true or false; and what it may be else."""

import math
import re
from collections.abc import Iterable, Set

import numpy as np

from service.tables.columns import Word
from service.tables.writing import MAX_WHOLE

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity|nan)", re.IGNORECASE)

GAPS = {
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "n/a",
    "nan",
    "null",
}
"""What every reader takes for a missing value: as pyarrow.csv has them."""

MARKERS = {"?", "-", "--", ".", "..", "*", "none", "missing", "unknown", "n.a.", "nil"}
"""What people write for a missing value among numbers and times, in lower case, beside `GAPS`."""

TRUTHS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"))
"""Pairs of texts for false and true, in lower case."""

CAUSES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ends in a per cent sign", re.compile(r"[+-]?[\d.,]+\s*%")),
    (
        "has separators of thousands",
        re.compile(r"[+-]?\d{1,3}([ ,.'’\u00a0\u202f]\d{3})+([.,]\d+)?"),
    ),
    ("has a decimal comma", re.compile(r"[+-]?\d*,\d+")),
    ("has a currency sign", re.compile(r"[+-]?[$€£¥]\s*[\d.,]+|[+-]?[\d.,]+\s*[$€£¥]")),
    ("has a minus sign of print (−), not the one of keyboards (-)", re.compile(r"[−–][\d.,]+.*")),
    ("has an exponent written D", re.compile(r"[+-]?[\d.]+[dD][+-]?\d+")),
    ("stands in parentheses, as accounts write negative numbers", re.compile(r"\([\d.,]+\)")),
    ("stands in single quotes", re.compile(r"'[+-]?[\d.,eE+-]+'")),
    ("ends in a unit", re.compile(r"[+-]?[\d.,]+\s*[A-Za-zµ°/]{1,6}")),
)
"""What makes a text of a number, and what such texts look like."""

DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What files have between cells in place of commas."""

NUL = "expected text in UTF-8, got a NUL byte, as UTF-16 and files that are no text have"
"""What is said of a text that other programs would cut at that byte."""

# float64 has no numbers of more digits, and Python takes long to read texts of very many
WHOLE = re.compile(r"([+-]?)0*([0-9]{1,308})")

LEADING_ZERO = re.compile(r"[+-]?0\d+")


def is_number(text: str, decimal: str = ".") -> bool:
    """Whether a text is read as a number."""
    text = text.strip()
    return NUMBER.fullmatch(text.replace(",", ".", 1) if decimal == "," else text) is not None


def number_in(text: str) -> float | None:
    """The number that a text is read as; None of other texts, infinity beyond float64."""
    # float() itself leaves U+001C to U+001F, which are spaces to all else
    return float(text.strip()) if is_number(text) else None


def is_gap(text: str) -> bool:
    """Whether a text stands for a missing value in a column of any kind."""
    return text.strip() in GAPS


def is_marker(text: str) -> bool:
    """Whether a text stands for a missing value among numbers or times."""
    return is_gap(text) or text.strip().lower() in MARKERS


def cause(text: str) -> str:
    """Why a text that is no number may stand among numbers, for people; empty where unknown."""
    stripped = text.strip()
    if stripped.lower() in MARKERS:
        return "seems to stand for a missing value"
    return next((said for said, pattern in CAUSES if pattern.fullmatch(stripped)), "")


def undivided(names: Set[str]) -> str:
    """A hint for people where a table's only name is a whole header; empty where it is not."""
    if len(names) != 1:
        return ""
    (name,) = names
    return next(
        (
            f"; its only name holds {marks}: expected commas between the cells of CSV, and points "
            "in numbers"
            for mark, marks in DELIMITERS.items()
            if mark in name
        ),
        "",
    )


def gaps_of_classes(texts: Iterable[str]) -> set[str]:
    """Which texts of a column of classes stand for a missing value.

    `NA` is Namibia where all other texts are codes of two letters.
    """
    present = set(texts)
    gaps = {text for text in present if is_gap(text)}
    others = present - gaps
    if "NA" in gaps and others and all(re.fullmatch("[A-Z]{2}", text) for text in others):
        gaps.discard("NA")
    return gaps


def truth(text: str) -> bool | None:
    """What a text says, of `TRUTHS`; None for other texts."""
    lower = text.strip().lower()
    for no, yes in TRUTHS:
        if lower in (no, yes):
            return lower == yes
    return None


def whole_in(word: Word) -> int | None:
    """The whole number that a word is, with all of its digits; None of other words."""
    if isinstance(word, str):
        match = WHOLE.fullmatch(word.strip())
        return None if match is None else int(match[1] + match[2])
    if isinstance(word, bool) or (isinstance(word, float) and not word.is_integer()):
        return None
    return int(word)


def number_of(word: Word) -> float | None:
    """The number that a word stands for, NaN for nothing; None of other words."""
    if isinstance(word, bool):
        return None
    if isinstance(word, str):
        value = float("nan") if is_marker(word) else number_in(word)
    else:
        try:
            value = float(word)
        except OverflowError:  # a whole number of any length
            return None
    return None if value is None or math.isinf(value) else value


def aliases(word: Word) -> list[Word]:
    """What a class may be in another format: 5 as the text 5, true as 1."""
    if isinstance(word, bool):
        return [word, str(word).lower(), str(word)]
    if isinstance(word, str):
        number, said = number_of(word), truth(word)
        if number in (0, 1):
            said = bool(number)
        whole = None if number is None else whole_in(word)
        found = [word, *([] if number is None else [number if whole is None else whole])]
        return [*found, *([] if said is None else [said])]
    if isinstance(word, float) and not word.is_integer():
        single = np.float32(word)
        return [word, repr(word), *([str(single)] if float(single) == word else [])]
    if isinstance(word, float) and abs(word) >= MAX_WHOLE:  # whose last digits may be lost
        return [word]
    whole = int(word)
    return [word, str(whole), *([bool(whole)] if whole in (0, 1) else [])]
