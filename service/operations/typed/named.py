"""Values by name, as JSON has them, to rows of typed columns."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from service.bundle import TypedManifest
from service.errors import InvalidInputError, TooLargeError, cut, few, shown
from service.operations.rows.typed import TypedRows
from service.tables import (
    RawColumn,
    TableError,
    check_names,
    from_columns,
    from_records,
    remarks_on,
    some_value,
    to_rows,
    to_values,
    unfamiliar_values,
)

NAMED = ("rows", "columns")
"""The fields that take the place of `x`."""


FORMS = (
    '{"rows": [{"a column": its value, …}]}, {"columns": {"a column": [its values], …}} or '
    '{"x": [[numbers]]}'
)
"""The three, where no model is known."""

# Columns of an example.
SHOWN_COLUMNS = 3


def forms_of(table: TypedManifest) -> str:
    """The three forms of rows, for people, by the first columns of a table."""
    columns = table.named_columns[:SHOWN_COLUMNS]
    row = [some_value(column) for column in columns]
    more = ", …" * (len(table.named_columns) > len(columns))
    values = {
        json.dumps(cut(name), ensure_ascii=False): f"{json.dumps(value, ensure_ascii=False):.100}"
        for name, (value,) in to_values(np.array([row]), columns).items()
    }
    by_name = ", ".join(f"{name}: {value}" for name, value in values.items())
    lists = ", ".join(f"{name}: [{value}]" for name, value in values.items())
    numbers = ", ".join(f"{number:.15g}" for number in row)
    return (
        f'{{"rows": [{{{by_name}{more}}}]}}, {{"columns": {{{lists}{more}}}}} or '
        f'{{"x": [[{numbers}{more}]]}}'
    )


def check_named(fields: Mapping[str, Any], max_rows: int) -> int:
    """See that rows by name are in one form, and not too many.

    Args:
        fields: of a request.
        max_rows: of a request.

    Returns:
        How many values they have; 0 of what is no list or object, as it is to be.

    Raises:
        InvalidInputError: there are several of `x`, `rows` and `columns`.
        TooLargeError: they are too many.
    """
    several = [name for name in ("x", *NAMED) if name in fields]
    if len(several) > 1:
        raise InvalidInputError(f"expected one of {', '.join(several)}: each is all rows")
    rows: Any = fields.get("rows")
    columns: Any = fields.get("columns")
    if _are_records(rows):
        _check_count("rows", len(rows), max_rows)
        return sum(map(len, rows))
    if _are_lists(columns):
        lengths = [len(values) for values in columns.values()]
        _check_count("columns", max(lengths, default=0), max_rows)
        return sum(lengths)
    return 0


def _are_records(rows: Any) -> bool:
    return isinstance(rows, list) and set(map(type, rows)) <= {dict}


def _are_lists(columns: Any) -> bool:
    return isinstance(columns, dict) and set(map(type, columns.values())) <= {list}


def check_has_rows(fields: Mapping[str, Any], table: TypedManifest) -> None:
    """See that a request of rows has some, in one of the three forms.

    Raises:
        InvalidInputError: it has not; shows the forms, with the table's own columns.
    """
    has_records = _are_records(fields.get("x")) and bool(fields["x"])
    if has_records or not fields.keys() & {"x", *NAMED}:
        came = "objects in x" if has_records else few([*fields]) or "nothing"
        if fields.keys() & {*(table.column_names or ())}:
            came = f"the values of one row by themselves ({came})"
        raise InvalidInputError(f"expected {forms_of(table)}, got {came}")
    if not _are_records(fields.get("rows", [])) or not _are_lists(fields.get("columns", {})):
        came = "rows" if "rows" in fields else "columns"
        raise InvalidInputError(f"{came}: got {shown(fields[came])}, expected {forms_of(table)}")


def named_rows(fields: Mapping[str, Any], table: TypedManifest) -> dict[str, Any]:
    """Fields of a request with rows by name as `x`, and ends of a path by name as rows.

    Args:
        fields: of a request, of which `check_named` and `check_has_rows` think well.
        table: whose rows they are.

    Raises:
        InvalidInputError: columns that are not the table's, with both lists of names; or a value
            that is none.
    """
    named = dict(fields)
    if _are_records(named.get("rows")):
        named["x"] = _typed("rows", from_records, named.pop("rows"), table)
    elif _are_lists(named.get("columns")):
        named["x"] = _typed("columns", from_columns, named.pop("columns"), table)
    for name in ("start", "end"):
        if isinstance(named.get(name), dict):
            one = _typed(name, from_records, [named[name]], table)
            named[name] = one.ends([name])[name]
    return named


def typed_rows(columns: Mapping[str, RawColumn], table: TypedManifest) -> TypedRows:
    """Columns by name as rows, and what they hold that no row of the data had.

    Raises:
        TableError: columns that are not the table's.
    """
    left_out = [column.name for column in table.left_out]
    converted = to_rows(columns, table.named_columns, left_out)
    unfamiliar = unfamiliar_values(columns, converted, table.named_columns, table.left_out)
    return TypedRows(converted.rows, converted, unfamiliar, remarks_on(unfamiliar))


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
