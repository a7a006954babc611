"""What a section of the page consists of; `page.html` has a macro for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class AbsentError(Exception):
    """What a section would say is not known, or does not exist; the text says why."""


@dataclass(frozen=True)
class Note:
    """A sentence."""

    macro: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names with values.

    Args:
        caption: what they are of.
        pairs: of a name and its value; those without a value are left out.
    """

    macro: ClassVar[str] = "facts"
    caption: str
    pairs: Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what it shows.
        head: names of the columns; the first column names the rows.
        rows: cells as text.
        numbers: which columns are numbers, and stand at the right.
    """

    macro: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()


@dataclass(frozen=True)
class Code:
    """Lines to copy.

    Args:
        caption: what they are.
        text: the lines.
    """

    macro: ClassVar[str] = "code"
    caption: str
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture that is part of the page.

    Args:
        caption: what it shows.
        alt: what is seen in it, for those who do not see it.
        media_type, base64: of its file.
        width, height: in pixels of the screen.
    """

    macro: ClassVar[str] = "picture"
    caption: str
    alt: str
    media_type: str
    base64: str
    width: int
    height: int


Block = Note | Facts | Table | Code | Picture
