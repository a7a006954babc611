"""What any value in a recipe or a run.json may be, whatever its key.

TOML and JSON hold more than the program can use: whole numbers of any length, infinities, text with
NUL, and nesting without end. They are refused here, by the name of their key, before anything else
looks at them.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Sections are two deep; matrices and splines in run.json are lists of lists.
MAX_DEPTH = 16

MAX_WHOLE = 2**63 - 1
MAX_CHARACTERS = 4096

# Characters of a value, and of a key, that a message shows.
SHOWN_CHARACTERS = 60

PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


def faults(value: Any, key: str = "") -> Iterator[str]:
    """What is wrong in a value and in all that it holds: one line for each fault.

    Args:
        value: as `tomllib` or `json` reads it.
        key: where it stands, for people.
    """
    yield from _faults(value, key, 0)


def _faults(value: Any, key: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield f"{shown_key(key)}: nested more than {MAX_DEPTH} deep"
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if fault := _text_fault(str(name)):
                yield f"{shown_key(_joined(key, str(name)))}: a key {fault}"
            else:
                yield from _faults(one, _joined(key, str(name)), depth + 1)
    elif isinstance(value, list):
        for i, one in enumerate(value):
            # numbers in their thousands: a matrix or splines in run.json
            if not (isinstance(one, float) and math.isfinite(one)):
                yield from _faults(one, f"{key}[{i}]", depth + 1)
    elif fault := _fault(value):
        yield f"{shown_key(key)}: {fault}"


def _fault(value: Any) -> str:
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number"
    if isinstance(value, int) and not -MAX_WHOLE <= value <= MAX_WHOLE:
        return f"a whole number of {value.bit_length()} bits, expected one within ±(2^63 − 1)"
    return ""


def _text_fault(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        return f"text of {len(text)} characters, expected at most {MAX_CHARACTERS}"
    if "\0" in text:
        return f"{shown(text)} holds the character NUL, which no name and no path can"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return f"{shown(text)} holds half of a character (a surrogate)"
    return ""


def shown(value: Any) -> str:
    """A value for people: one line, cut where it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_WHOLE:
        return f"a whole number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def one_line(error: object, characters: int = 300) -> str:
    """What an error says, in one line that is not too long."""
    return " ".join(str(error).split())[:characters]


def shown_key(key: str) -> str:
    """A key for people: one line, cut where it is long."""
    key = key if key.isprintable() else repr(key)
    return key if len(key) <= SHOWN_CHARACTERS else f"{key[: SHOWN_CHARACTERS - 1]}…"


def _joined(key: str, name: str) -> str:
    plain = name if PLAIN_KEY.fullmatch(name) else shown(name)
    return f"{key}.{plain}" if key else plain
