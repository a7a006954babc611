"""Tables with named columns as rows and context of a model: in order by name, where it has names.

A table holds rows in one of two forms, told apart by the type of its columns:

- one column of lists, named as the field (`x` or `z`), and nothing else beside the context;
- one column of single numbers for each coordinate. Where the model names its columns, the table
  has these names, in any order. Names that number the coordinates from 0 (`x0`, `x_0`, `x.0`, `f0`
  as Arrow names the columns of a file without a header, or `0`) are in the order of their numbers,
  for any model. Other names are refused by a model that names its columns; one that does not takes
  the columns in the order in which they stand.

The context is a column `context`, or the columns of the context by their names.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest, ContextColumn, TypedManifest
from service.errors import InvalidInputError, MalformedBodyError
from service.operations.rows.holes import HoleTexts, no_numbers, with_holes
from service.operations.rows.typed import TypedRows
from service.operations.typed.named import typed_rows
from service.operations.values import to_float64
from service.tables import (
    RawColumn,
    TableError,
    from_array,
    numbers_in,
    undivided,
)
from service.types import Arrays

TableColumns = Mapping[str, NDArray[Any] | RawColumn]
"""Columns by name: arrays of numbers or text, or values of any kind, of which some are missing."""

NUMBERED = re.compile(r"(|f|x|z|[xz][_.])(0|[1-9][0-9]{0,8})")

# Names in an error, of up to a thousand.
MAX_NAMED = 10

TEXT = np.dtypes.StringDType()
"""Of texts of any length each."""


def rows_and_context(
    table: TableColumns, manifest: AnyManifest, name: str, has_holes: bool = False
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The rows of a table, in the model's order of coordinates, and the context beside them.

    Args:
        table: columns by name, each with a value, or a list of values, for each row.
        manifest: of the model; says the names of its columns.
        name: of the rows: `x`, or `z`, whose coordinates have no names.
        has_holes: whether rows that hold anything but numbers are found later: it is NaN then.

    Returns:
        Rows, N × event shape if the columns are as many as its coordinates; and N × columns of
        context, None where the table has none.

    Raises:
        InvalidInputError: columns that are not those of the model; says which are missing, and
            which there are beside them.
        MalformedBodyError: there is no column, or one with nulls, or of neither numbers nor text.
    """
    coordinates = (manifest.column_names if name == "x" else None) or ()
    named = columns_of_names(manifest.context, coordinates)
    of_context = {"context", *(column.name for column in manifest.context or ())} - {*coordinates}
    rest = {
        column: with_holes(values, column in of_context, column in named)
        if has_holes
        else _array(column, values, column in named)
        for column, values in table.items()
    }
    context = _take_context(rest, manifest.context, coordinates)
    shape = manifest.event_shape if name == "x" else manifest.latent_shape
    rows = _rows(rest, name, coordinates)
    if rows.ndim == 2 and rows.shape[1] == manifest.dimensions:
        rows = rows.reshape(len(rows), *shape)
    return rows, context


def hole_texts(table: TableColumns, manifest: AnyManifest, name: str) -> HoleTexts | None:
    """What stands in place of numbers; None where no column is of words.

    Args:
        table, manifest, name: as of `rows_and_context`, which takes them.
    """
    coordinates = (manifest.column_names if name == "x" else None) or ()
    of_context = {"context", *(column.name for column in manifest.context or ())} - {*coordinates}
    columns = {key: column for key, column in table.items() if key not in of_context}
    raw = list(columns.values())
    if not any(isinstance(each, RawColumn) and each.form == "words" for each in raw):
        return None
    numbers: Arrays = {
        key: np.full((1, *getattr(column, "shape", (1,))[1:]), i)
        for i, (key, column) in enumerate(columns.items())
    }
    order = _rows(numbers, name, coordinates).ravel().tolist()
    return HoleTexts([raw[i] for i in order])


def typed_rows_and_context(
    table: TableColumns, manifest: TypedManifest, has_holes: bool = False
) -> tuple[TypedRows, NDArray[Any] | None]:
    """The same of a model of typed columns: values of each column's own kind, or `x` of numbers.

    Raises:
        InvalidInputError: columns that are not those of the model, with both lists of names.
    """
    of_context = {"context", *(column.name for column in manifest.context or ())}
    names = [column.name for column in manifest.named_columns]
    of_context -= set(names)
    named = columns_of_names(manifest.context, names)
    arrays, typed = dict[str, NDArray[Any]](), dict[str, RawColumn]()
    for name, column in table.items():
        if isinstance(column, RawColumn) and name not in of_context:
            typed[name] = column
        elif has_holes and name in of_context:
            arrays[name] = with_holes(column, True, name in named)
        else:
            arrays[name] = _array(name, column, name in named)
    context = _take_context(arrays, manifest.context, names)
    if "x" in arrays and arrays["x"].ndim > 1 and not typed:
        try:
            values = to_float64(_rows(arrays, "x", ()), may_lack=True, has_holes=has_holes)
            return TypedRows(values), context
        except ValueError as error:
            raise InvalidInputError(f"x: {error}") from None
    single = _single_columns(arrays, "x", names)
    try:
        raw = {name: from_array(column) for name, column in single.items()} | typed
        return typed_rows(raw, manifest), context
    except TableError as error:
        raise InvalidInputError(str(error)) from None


def context_alone(table: TableColumns, manifest: AnyManifest) -> NDArray[Any]:
    """The context of a table that holds nothing else: by its columns' names, or in their order."""
    columns = manifest.context or ()
    named = columns_of_names(columns, ())
    if not table.keys() & {"context", *(column.name for column in columns)}:
        pairs = zip(table, columns, strict=False)  # in their order
        named = {name for name, column in pairs if column.labels is not None}
    rest = {name: _array(name, values, name in named) for name, values in table.items()}
    context = _take_context(rest, columns, ())
    if context is None:
        return _side_by_side(rest, mixed=True)
    if rest:
        raise InvalidInputError(f"the table has a context, and also {_listed(rest)}")
    return context


def columns_of_names(
    context: Sequence[ContextColumn] | None, coordinates: Iterable[str]
) -> set[str]:
    """The columns of a table whose text is names of classes of the context: `01` is no number."""
    columns = context or ()
    names = {column.name for column in columns if column.labels is not None}
    if names and len(columns) == 1:
        names.add("context")
    return names - set(coordinates)


def _array(name: str, column: NDArray[Any] | RawColumn, are_names: bool) -> NDArray[Any]:
    """A column as flows and contexts take it: of numbers, or of text.

    Args:
        name: of the column.
        column: it.
        are_names: whether text is names, whatever it looks like.

    Raises:
        MalformedBodyError: values are missing, or are neither.
    """
    if not isinstance(column, RawColumn):
        return column
    is_text = column.form == "words" and all(isinstance(word, str) for word in column.words)
    numbers, wrong = numbers_in(column)
    if are_names and is_text:
        wrong = np.ones(len(column), bool)
    missing = column.missing | (np.isnan(numbers) & ~wrong)
    if missing.any():
        row = int(np.argmax(missing))
        raise MalformedBodyError(
            f"column {name!r:.80} has nulls: expected numbers, row {row} has none"
        )
    if not wrong.any():
        return np.asarray(numbers)
    if is_text:
        return np.asarray(np.array(column.words, TEXT)[column.values])
    kind = {"times": "times", "words": "truth values"}.get(column.form, "other values")
    raise MalformedBodyError(f"column {name!r:.80} is of {kind}, not numbers")


def _take_context(
    table: Arrays, columns: Sequence[ContextColumn] | None, coordinates: Sequence[str]
) -> NDArray[Any] | None:
    """The context, taken out of a table; None where it has none."""
    if "context" in table and "context" not in coordinates:
        values = table.pop("context")
        return values[:, None] if values.ndim == 1 else values
    names = [column.name for column in columns or ()]
    present = [name for name in names if name in table and name not in coordinates]
    if not present:
        return None
    if missing := [name for name in names if name not in present]:
        raise InvalidInputError(
            f"context: the table has {_listed(present)}, and lacks {_listed(missing)}"
        )
    return _side_by_side({name: table.pop(name) for name in names}, mixed=True)


def _rows(table: Arrays, name: str, coordinates: Sequence[str]) -> NDArray[Any]:
    if name in table and table[name].ndim > 1:
        if others := table.keys() - {name}:
            raise InvalidInputError(
                f"the table has a column {name!r} of lists, and also {_listed(sorted(others))}"
            )
        return table[name]
    columns = _single_columns(table, name, coordinates)
    if (numbers := _numbers(columns)) and not columns.keys() & set(coordinates):
        ordered = {column: columns[column] for column in sorted(columns, key=numbers.__getitem__)}
    elif coordinates:
        ordered = _in_order(columns, coordinates)
    else:
        ordered = columns
    return _side_by_side(ordered)


def _single_columns(table: Arrays, name: str, coordinates: Sequence[str]) -> Arrays:
    """The columns, with lists taken apart as training names their values: `v.0` and so on."""
    known, columns = set(coordinates), {}
    for column, values in table.items():
        if values.ndim == 1:
            columns[column] = values
        elif values.ndim == 2 and f"{column}.0" in known:
            columns |= {f"{column}.{i}": values[:, i] for i in range(values.shape[1])}
        else:
            raise InvalidInputError(
                f"expected a column {name!r} of lists, or columns of single numbers; {column!r:.80}"
                " is of lists"
            )
    return columns


def _numbers(names: Iterable[str]) -> dict[str, int] | None:
    """The number in each name, of names that number coordinates from 0; None for other names."""
    found = {name: NUMBERED.fullmatch(name) for name in names}
    matches = [match for match in found.values() if match]
    if len(matches) < len(found) or len({match[1] for match in matches}) != 1:
        return None
    numbers = {name: int(match[2]) for name, match in found.items() if match}
    return numbers if set(numbers.values()) == set(range(len(numbers))) else None


def _in_order(columns: Arrays, coordinates: Sequence[str]) -> Arrays:
    """The columns in the order of the coordinates of the same names."""
    known = set(coordinates)
    missing = [name for name in coordinates if name not in columns]
    others = [name for name in columns if name not in known]
    if missing or others:
        faults = [f"lacks {_listed(missing)}"] * bool(missing)
        faults += [f"has {_listed(others)}, unknown to this model"] * bool(others)
        raise InvalidInputError(
            f"the table {', and '.join(faults)}; the model's columns are {_listed(coordinates)}"
            f"{undivided(columns.keys())}"
        )
    return {name: columns[name] for name in coordinates}


def _side_by_side(columns: Arrays, mixed: bool = False) -> NDArray[Any]:
    """Columns of single values as N × columns; of objects where text is mixed with numbers."""
    if not columns:
        raise MalformedBodyError("the table has no column beside context: expected rows")
    text = [name for name, values in columns.items() if values.dtype.kind not in "fiu"]
    if text and not mixed:
        raise InvalidInputError(no_numbers(text[0], columns[text[0]]))
    if wide := [name for name, values in columns.items() if values.ndim > 1]:
        raise InvalidInputError(f"column {wide[0]!r:.80} is of lists, expected single values")
    values = list(columns.values())
    if 0 < len(text) < len(columns):
        values = [column.astype(object) for column in values]
    return np.stack(values, axis=1)


def _listed(names: Iterable[str]) -> str:
    """Names for people: the first few."""
    each = [repr(name)[:80] for name in names]
    more = f", … ({len(each)} in all)" if len(each) > MAX_NAMED else ""
    return f"{', '.join(each[:MAX_NAMED])}{more}"
