"""What messages say of names and values that came, and of what was expected."""

import difflib
import reprlib
from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

# Of what came, so much is shown: it may be very long, and nested deeper than `repr` can follow.
SHOWN = reprlib.Repr()
SHOWN.maxstring = 100

# Of several things that are wrong in the same way, so many are named.
MOST_NAMED = 3

# Names of fields, models and options are shorter; to compare longer ones takes long.
MAX_COMPARED = 64

# What was expected where pydantic says it of "input", by the type of its error.
EXPECTED = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "literal_error": "{expected}",
}


def shown(value: object) -> str:
    """What a caller sent as a message repeats it: cut, quoted, and escaped."""
    return SHOWN.repr(value)


def cut(name: str, most: int = 80) -> str:
    """A caller's name as a message repeats it, quoted and escaped only where it must be."""
    if len(name) > most:
        name = f"{name[:most]}…"
    return name if name.isprintable() else repr(name)


def masked(url: str) -> str:
    """A URL without what may be a secret: its user, its password and its query."""
    head, _, query = url.partition("?")
    user, at, rest = head.rpartition("@")
    scheme, slashes, user = user.partition("//") if "//" in user else ("", "", user)
    return f"{scheme}{slashes}{'***' if user else ''}{at}{rest}{'?***' if query else ''}"


def os_error_text(error: OSError) -> str:
    """What is wrong with a file, for people; a full disk is told without the file's name."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def few(names: Collection[str]) -> str:
    """The first few names, and how many there are."""
    named = ", ".join(map(cut, islice(names, MOST_NAMED)))
    return f"{named}, … ({len(names)} in all)" if len(names) > MOST_NAMED else named


def nearest(name: str, known: Iterable[str]) -> str:
    """A question for people after the known name that is most like one; empty where none is."""
    if len(name) > MAX_COMPARED:
        return ""
    like = difflib.get_close_matches(name, known, 1, 0.8)
    return f": is {like[0]} meant?" if like else ""


def readable(error: Any, known: Iterable[str] = ()) -> str:
    """One error of a pydantic validation: where, what was expected, and what came.

    Args:
        error: of `ValidationError.errors()`.
        known: the fields that there are.
    """
    where = ".".join([cut(str(part)) for part in error["loc"]])
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] == "extra_forbidden":
        return f"{where} is not known here{nearest(where, known)}"
    prefix = f"{where}: " if where else ""
    if error["type"] == "value_error":
        return f"{prefix}{error['ctx']['error']}"
    return f"{prefix}{expected(error)}, got {shown(error['input'])}"


def expected(error: Any) -> str:
    """What was expected, of one error of a pydantic validation."""
    words = EXPECTED.get(error["type"])
    if words is None:
        return str(error["msg"])
    return f"expected {words.format(**error.get('ctx', {}))}"
