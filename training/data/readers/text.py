"""Columns of a table that hold something else than numbers: what they hold, and why that may be."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from service.tables import cause, is_number
from training.data.readers.csv_dialect import Dialect


@dataclass(frozen=True)
class TextColumn:
    """A column that holds something else than numbers.

    Args:
        kind: the file's type of it, such as `string` or `timestamp[s]`.
        first: the first value that is no number.
        row: where it stands, counted from 0.
        count: how many values are no numbers.
        values: how many values there are, gaps left out.
        distinct: how many different ones.
        rarest: how often the rarest of them stands there.
        cause: why the first one may be no number, for people; empty where nothing is known.
    """

    kind: str
    first: str
    row: int
    count: int
    values: int
    distinct: int
    rarest: int
    cause: str = ""

    @property
    def is_mostly_numbers(self) -> bool:
        """Whether it is a column of numbers in which some are written as no number is."""
        return 2 * self.count < self.values or bool(self.cause)


def text_column(column: pa.ChunkedArray, dialect: Dialect | None) -> TextColumn:
    """What a column holds that is no column of numbers."""
    kind = str(column.type)
    counts = [] if pa.types.is_nested(column.type) else pc.value_counts(column.drop_null()).field(1)
    distinct, rarest = len(counts), min((count.as_py() for count in counts), default=0)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        row, first = next(
            ((i, v) for i, v in enumerate(column) if v.is_valid), (0, pa.scalar(None))
        )
        values = len(column) - column.null_count
        return TextColumn(kind, str(first.as_py()), row, values, values, distinct, rarest)
    decimal = "." if dialect is None else dialect.decimal
    texts = column.to_pylist()
    wrong = [i for i, text in enumerate(texts) if text is not None and not is_number(text, decimal)]
    if not wrong:  # text in quotes, of numbers
        return TextColumn(
            kind, texts[0] or "", 0, 0, len(texts), distinct, rarest, "is text of numbers"
        )
    first = texts[wrong[0]]
    values = sum(text is not None for text in texts)
    return TextColumn(kind, first, wrong[0], len(wrong), values, distinct, rarest, cause(first))
