"""Rows of large answers, some at a time."""

from collections.abc import Iterator

from service.types import Arrays

# Numbers of a piece of a large answer, which are copied in a fraction of a millisecond.
PIECE_NUMBERS = 2**18


def row_slices(arrays: Arrays) -> Iterator[Arrays]:
    """The same rows of every array, some at a time; there is at least one row."""
    rows = len(next(iter(arrays.values())))
    row_numbers = max(array.size for array in arrays.values()) // rows
    at_once = max(1, PIECE_NUMBERS // max(1, row_numbers))
    for start in range(0, rows, at_once):
        yield {name: array[start : start + at_once] for name, array in arrays.items()}
