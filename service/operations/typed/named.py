"""Values by name, as JSON has them, to rows of typed columns."""

from collections.abc import Mapping
from typing import Any

from service.bundle import TypedManifest
from service.errors import InvalidInputError, TooLargeError, shown
from service.operations.rows.typed import TypedRows
from service.tables import RawColumn, TableError, check_names, from_columns, from_records, to_rows

NAMED = ("rows", "columns")
"""The fields that take the place of `x`."""


def check_named(fields: Mapping[str, Any], max_rows: int) -> int:
    """See that rows by name are lists and objects where they are to be, and not too many.

    Args:
        fields: of a request.
        max_rows: of a request.

    Returns:
        How many values they have.

    Raises:
        InvalidInputError: they are not, or there are several of `x`, `rows` and `columns`.
        TooLargeError: they are too many.
    """
    several = [name for name in ("x", *NAMED) if name in fields]
    if len(several) > 1:
        raise InvalidInputError(f"expected one of {', '.join(several)}: each is all rows")
    if "rows" in fields:
        rows = fields["rows"]
        if not isinstance(rows, list) or not set(map(type, rows)) <= {dict}:
            raise InvalidInputError(
                f'rows: expected a list of objects, such as [{{"amount": 12.5}}], got {shown(rows)}'
            )
        _check_count("rows", len(rows), max_rows)
        return sum(map(len, rows))
    if "columns" in fields:
        columns = fields["columns"]
        if not isinstance(columns, dict) or not set(map(type, columns.values())) <= {list}:
            raise InvalidInputError(
                f'columns: expected an object of lists, such as {{"amount": [12.5]}}, got '
                f"{shown(columns)}"
            )
        lengths = [len(values) for values in columns.values()]
        _check_count("columns", max(lengths, default=0), max_rows)
        return sum(lengths)
    return 0


def named_rows(fields: Mapping[str, Any], table: TypedManifest) -> dict[str, Any]:
    """Fields of a request with rows by name as `x`, and ends of a path by name as rows.

    Args:
        fields: of a request, of which `check_named` thinks well.
        table: whose rows they are.

    Raises:
        InvalidInputError: columns that are not the table's, with both lists of names; or a value
            that is none.
    """
    named = dict(fields)
    if "rows" in named:
        named["x"] = _typed("rows", from_records, named.pop("rows"), table)
    elif "columns" in named:
        named["x"] = _typed("columns", from_columns, named.pop("columns"), table)
    for name in ("start", "end"):
        if isinstance(named.get(name), dict):
            one = _typed(name, from_records, [named[name]], table)
            named[name] = one.ends([name])[name]
    return named


def typed_rows(columns: Mapping[str, RawColumn], table: TypedManifest) -> TypedRows:
    """Columns by name as rows.

    Raises:
        TableError: columns that are not the table's.
    """
    left_out = [column.name for column in table.left_out]
    converted = to_rows(columns, table.named_columns, left_out)
    return TypedRows(converted.rows, converted)


def _typed(name: str, read: Any, values: Any, table: TypedManifest) -> TypedRows:
    if values == []:  # of no rows JSON has no names
        read, values = from_columns, {column.name: [] for column in table.named_columns}
    given = values.keys() if isinstance(values, dict) else values[0].keys()
    try:
        # before many names are made many columns
        check_names(given, table.named_columns, [column.name for column in table.left_out])
        return typed_rows(read(values), table)
    except TableError as error:
        raise InvalidInputError(f"{name}: {error}") from None


def _check_count(name: str, rows: int, most: int) -> None:
    if rows > most:
        raise TooLargeError(f"{name}: {rows} rows are more than the {most} allowed")
