"""How a text file of a table is written: delimiter, decimal sign, comment lines and header.

A CSV file says none of it, so it is guessed from the first lines, and each guess that could be
wrong is said (`Dialect.notes`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, islice
from typing import NamedTuple

from service.tables import GAPS, NUL, Preamble, is_header, is_number

DELIMITERS = ("\t", ";", "|", ",")
"""In this order where several fit: a comma is also a decimal sign."""

BLANKS = " "
"""Stands for one or more blanks between cells."""

# Lines that are looked at.
SAMPLED_LINES = 1000

END_OF_LINE = re.compile(r"\r\n|\r|\n")
WHOLE = re.compile(r"[+-]?\d+")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")


class Cell(NamedTuple):
    """A cell of a line, and whether it stands in quotes."""

    text: str
    quoted: bool


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Args:
        delimiter: between cells: a character of `DELIMITERS`, or `BLANKS`.
        decimal: the decimal sign.
        before_rows: lines before the first row, with those of the header.
        has_header: whether there is one.
        names: of the columns, where there is a header.
        width: how many cells the header or the first row has.
        notes: what was guessed, for people; each names what to set if the guess is wrong.
    """

    delimiter: str
    decimal: str
    before_rows: int
    has_header: bool
    names: list[str]
    width: int
    notes: list[str] = field(default_factory=list)


def dialect_of(lines: Sequence[str], header: bool | None) -> Dialect:
    """Guess how a file is written.

    Args:
        lines: its first lines, with their ends; at most `SAMPLED_LINES` behind those of comments
            are looked at.
        header: whether there is a line of names, if the user says so.

    Raises:
        ValueError: no line holds anything.
    """
    preamble = Preamble()
    after = dropwhile(preamble.takes, lines)
    sample = [line for line in _whole(islice(after, SAMPLED_LINES)) if line.strip()]
    if not sample:
        raise ValueError("it is empty")
    delimiter = preamble.delimiter or _delimiter(sample)
    before_rows, notes = preamble.count, _said(preamble, lines)
    of_first = [cell.text for cell in cells(sample[0], delimiter)]
    of_comment = [cell.text for cell in cells(preamble.comment, delimiter)]
    if preamble.comment and header is not False and is_header(of_comment, of_first):
        sample.insert(0, preamble.comment)
        before_rows = preamble.comment_line
        notes[-1] = f"the names of its columns stand behind #: {preamble.comment}"
    rows = [cells(line, delimiter) for line in sample]
    first, below = rows[0], rows[1:]
    decimal = _decimal(below or rows, delimiter)
    if delimiter == BLANKS:
        notes.append("its columns are separated by blanks")
    if decimal == ",":
        notes.append("its decimal sign is the comma")
    if header is None:
        has_header, why = _guess_header(first, below, decimal)
        if why:
            notes.append(f"{why}; header = {str(not has_header).lower()} in [data] says otherwise")
    else:
        has_header = header
    names: list[str] = []
    if has_header:
        names = [cell.text.strip() for cell in first]
        before_rows += 1 + len(END_OF_LINE.findall(sample[0]))
    if any("\0" in name for name in names):
        raise ValueError(f"its header is no text: {NUL}")
    return Dialect(delimiter, decimal, before_rows, has_header, names, len(first), notes)


def _whole(lines: Iterable[str]) -> list[str]:
    """Lines without their ends, as one each where an end stands in quotes.

    Those behind a quote that is not closed are left out.
    """
    whole: list[str] = []
    parts: list[str] = []
    in_quotes = False
    for line in lines:
        in_quotes = _ends_in_quotes(line, in_quotes)
        parts.append(line)
        if not in_quotes:
            whole.append("".join(parts))
            parts = []
    return [line.rstrip("\r\n") for line in whole or parts]


def _ends_in_quotes(line: str, in_quotes: bool) -> bool:
    """Whether the end of a line stands in quotes, by whether its beginning does.

    A quote within a cell that does not begin with one is a sign like any other: 5" of rain.
    """
    place = -1
    while (place := line.find('"', place + 1)) >= 0:
        if not in_quotes:
            in_quotes = place == 0 or line[place - 1] in DELIMITERS
        elif line[place + 1 : place + 2] == '"':
            place += 1
        else:
            in_quotes = False
    return in_quotes


def cells(line: str, delimiter: str) -> list[Cell]:
    """The cells of a line; delimiters within quotes divide none."""
    if delimiter == BLANKS:
        return [Cell(text, False) for text in line.split()]
    return [
        Cell(text[1:-1].replace('""', '"'), True) if text[:1] == '"' else Cell(text, False)
        for text in _split(line, delimiter)
    ]


def _split(line: str, delimiter: str) -> list[str]:
    parts: list[str] = []
    start, in_quotes = 0, False
    for i, character in enumerate(line):
        if character == '"':
            in_quotes = not in_quotes
        elif character == delimiter and not in_quotes:
            parts.append(line[start:i])
            start = i + 1
    return [*parts, line[start:]]


def _said(preamble: Preamble, lines: Sequence[str]) -> list[str]:
    """What is said of the lines before the header."""
    notes = [f"its first line is {lines[0].strip()!r}, for Excel"] * bool(preamble.delimiter)
    return notes + [f"{preamble.comments} lines of comments stand before it"] * (
        preamble.comments > 0
    )


def _delimiter(lines: Sequence[str]) -> str:
    """The delimiter that divides most lines into equally many cells."""
    agreeing: dict[str, int] = {}
    for delimiter in DELIMITERS:
        counts = Counter(len(_split(line, delimiter)) for line in lines)
        cells_a_line, agreeing[delimiter] = counts.most_common(1)[0]
        if cells_a_line == 1:
            agreeing[delimiter] = 0
    best = max(DELIMITERS, key=lambda delimiter: agreeing[delimiter])
    if agreeing[best]:
        return best
    widths = Counter(len(line.split()) for line in lines)
    width, count = widths.most_common(1)[0]
    numbers = all(is_number(text) or text in GAPS for line in lines[1:] for text in line.split())
    return BLANKS if width > 1 and count == len(lines) and numbers else ","


def _decimal(rows: Sequence[list[Cell]], delimiter: str) -> str:
    """The decimal sign: a comma where numbers have one, and none has a point."""
    texts = [cell.text.strip() for row in rows for cell in row]
    if delimiter == "," and not any(cell.quoted for row in rows for cell in row):
        return "."
    has_comma = any(DECIMAL_COMMA.fullmatch(text) for text in texts)
    return "," if has_comma and not any(DECIMAL_POINT.fullmatch(text) for text in texts) else "."


def _guess_header(first: list[Cell], below: Sequence[list[Cell]], decimal: str) -> tuple[bool, str]:
    """Whether the first line holds names, and why, where that could be wrong.

    Text that is no gap is a name, unless most of the line is numbers. Numbers are names where
    they are quoted above cells that are not, or where they are whole, all different and none of
    the columns below holds a whole number: as years, or the numbers that pandas gives to columns.
    """
    numbers = [is_number(cell.text, decimal) for cell in first]
    names = [
        not number and cell.text.strip() not in GAPS
        for cell, number in zip(first, numbers, strict=True)
    ]
    said = (
        f"its first line ({', '.join(cell.text for cell in first[:4])}{', …' * (len(first) > 4)})"
    )
    if not any(numbers):
        if any(names):
            return True, ""
        return False, f"{said} is taken for a row without values"
    quoted = all(cell.quoted for cell in first if cell.text)
    if quoted and below and not any(cell.quoted for row in below for cell in row):
        return True, f"{said} is taken for names: it alone stands in quotes"
    if sum(names) * 2 > len(first):
        return True, f"{said} is taken for names, though some are numbers"
    if _numbers_are_names(first, below, decimal):
        return True, f"{said} is taken for names: no whole number stands below those that it holds"
    return False, f"{said} is taken for a row: it holds numbers"


def _numbers_are_names(first: list[Cell], below: Sequence[list[Cell]], decimal: str) -> bool:
    """Whether the numbers of a line are all different, whole, and above other numbers than whole.

    Of 0, 1, 2, … as pandas writes them it is enough that one of the columns is of such numbers.
    """
    texts = [cell.text.strip() for cell in first]
    numbers = [i for i, text in enumerate(texts) if is_number(text, decimal)]
    if len({texts[i] for i in numbers}) < len(numbers):
        return False
    if not all(WHOLE.fullmatch(texts[i]) for i in numbers):
        return False
    below_are_others = [
        not any(WHOLE.fullmatch(text) for text in column)
        and any(is_number(text, decimal) for text in column)
        for column in ([row[i].text.strip() for row in below if len(row) > i] for i in numbers)
    ]
    counted = len(numbers) > 1 and [texts[i] for i in numbers] == list(
        map(str, range(len(numbers)))
    )
    return any(below_are_others) if counted else all(below_are_others)
