"""What may stand before the header of CSV: a line that tells Excel the delimiter, and comments."""

import re
from collections.abc import Sequence

from service.tables.words import is_number

# A comment is no # in a cell of its own, as a column of numbers of rows is named.
COMMENT = re.compile(r"#(?!\s*[,;|\t])")
SEPARATOR = re.compile(r'"?sep=([,;|\t]?)"?[ \r\n]*', re.IGNORECASE)


class Preamble:
    """The lines before the header, one after another.

    Attributes:
        count: how many there are.
        delimiter: that the first of them names; empty where none does.
        comments: how many are comments.
        comment: the last of these, without #; empty where there is none.
        comment_line: its number, from 0.
    """

    def __init__(self) -> None:
        self.count = 0
        self.delimiter = ""
        self.comments = 0
        self.comment = ""
        self.comment_line = 0

    def takes(self, line: str) -> bool:
        """Whether the next line, with or without its end, is one of them; empty lines are."""
        if self.count == 0 and (named := SEPARATOR.fullmatch(line)) is not None:
            self.delimiter = named[1]
        elif COMMENT.match(line):
            self.comment, self.comment_line = line.lstrip("#").strip(), self.count
            self.comments += 1
        elif line.strip():
            return False
        self.count += 1
        return True


def is_header(comment: Sequence[str], below: Sequence[str]) -> bool:
    """Whether the last comment holds the names of columns, as `numpy.savetxt` writes them.

    Args:
        comment: its cells.
        below: those of the line below, which is a row then and not the header.
    """
    has_numbers = any(is_number(cell) or is_number(cell, ",") for cell in below)
    return len(comment) == len(below) and has_numbers and not any(map(is_number, comment))
