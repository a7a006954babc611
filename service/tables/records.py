"""Rows and columns of JSON as the columns of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.tables.columns import TableError
from service.tables.raw import RawColumn, from_values
from service.tables.writing import listed


def from_records(records: Sequence[Mapping[str, Any]]) -> dict[str, RawColumn]:
    """Rows that name their values: `[{"amount": 12.5, "country": "DE", "age": null}]`.

    Raises:
        TableError: a row has other names than the first one, or a value is no number, text, truth
            value or null; names row and column.
    """
    if not records:
        return {}
    names = records[0].keys()
    for row, record in enumerate(records):
        if record.keys() != names:
            lacking = [name for name in names if name not in record]
            more = [name for name in record if name not in names]
            said = [f"lacks {listed(lacking)}"] * bool(lacking)
            said += [f"has {listed(more)}"] * bool(more)
            raise TableError(f"row {row} {' and '.join(said)}, unlike row 0: null is for no value")
    return from_columns({name: [record[name] for record in records] for name in names})


def from_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, RawColumn]:
    """Columns by name: `{"amount": [12.5, 3], "country": ["DE", "FR"]}`.

    Raises:
        TableError: columns of different lengths, or a value as of `from_records`.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        first, *others = lengths
        other = next(name for name in others if lengths[name] != lengths[first])
        raise TableError(
            f"column {first!r:.80} has {lengths[first]} values, and {other!r:.80} {lengths[other]}"
        )
    found: dict[str, RawColumn] = {}
    for name, values in columns.items():
        try:
            found[name] = from_values(values)
        except TableError as error:
            raise TableError(f"column {name!r:.80}, {error}") from None
    return found
