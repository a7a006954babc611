"""Tables whose columns are of any kind: decided on, as rows of float64, and divided."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.tables import (
    Converted,
    Decision,
    NumericColumn,
    Overrides,
    RawColumn,
    RawTable,
    TableError,
    decide,
    to_rows,
    unfamiliar_values,
)
from training.config import DataSource, TableColumns, TypedSource
from training.data.context import Context, context
from training.data.dataset import Dataset, Split, TypedDataset
from training.data.division import divide, repeated_rows
from training.data.load import checksum_of, files_of, load_dataset
from training.data.readers import Part, place, read_raw
from training.errors import DataError

MIN_ROWS = 10

Numbers = NDArray[np.float64]


def load_rows(
    source: DataSource, typed: bool, columns: TableColumns | None = None
) -> Dataset | TypedDataset:
    """The data of a [data] section.

    Args:
        source: the section.
        typed: whether its columns may be of any kind.
        columns: what was decided of those before.

    Raises:
        DataError: as of `load_dataset` or `load_typed`.
    """
    if typed and isinstance(source, TypedSource):
        return load_typed(source, columns)
    return load_dataset(source)


def load_typed(source: TypedSource, columns: TableColumns | None = None) -> TypedDataset:
    """Load and divide the rows of a [data] section whose columns may be of any kind.

    Args:
        source: the section.
        columns: what was decided of them before; decided on all rows of the source if None.

    Raises:
        DataError: a file cannot be read or lacks columns, a column cannot be modelled or be a
            context, or a value cannot be one of its column; the column and the row are named.
    """
    files = files_of(source)
    tables = [_Columns.of(read_raw(path, each), path, source) for path, each in files]
    first, path = tables[0].modelled, tables[0].path
    notes = list(first.notes)
    if columns is None:
        decision = _decided(first, path, source)
        columns = TableColumns(modelled=list(decision.columns), left_out=list(decision.left_out))
        notes += decision.notes
    notes += [
        f"column {column.name!r} is left out: {column.detail}"
        for column in columns.left_out
        if column.reason != "dropped"
    ]
    rows = np.concatenate([_rows(table, columns) for table in tables])
    numbers = np.concatenate([_numbers(table, source.context) for table in tables])
    discrete = not any(isinstance(column, NumericColumn) for column in columns.modelled)
    groups, said = repeated_rows(
        np.concatenate([rows, numbers], 1),
        source,
        discrete="discrete" if discrete else "",
        always=False,
    )
    sizes = [table.modelled.rows for table in tables]
    train, validation, test = divide(sizes, source, groups)
    labels = None
    if source.labels is not None:
        values = np.concatenate([_labels(table.named(source.labels)) for table in tables])
        labels = source.labels, values
    row_context = context(source.context, numbers, labels, train)
    parts = [Part(table.path, table.modelled.rows, table.modelled.place) for table in tables]

    def split(indices: NDArray[np.intp]) -> Split[np.float64]:
        return Split(rows[indices], row_context.of(indices), indices)

    return TypedDataset(
        name=path.name,
        sha256=checksum_of([path for path, _ in files]),
        train=split(train),
        validation=split(validation),
        test=split(test),
        columns=columns,
        context=row_context.columns,
        notes=[*notes, *said],
        place=lambda row: place(parts, row),
    )


@dataclass(frozen=True)
class WholeTable:
    """The rows of a table, undivided.

    Args:
        rows: N × D; what an unreadable or impossible row holds means nothing.
        unreadable: N, whether a value is none of its column's kind.
        impossible: N, whether a value is of that kind, and of probability zero, or a column has
            another value that is left out as it is constant.
        context: what rows are conditioned on.
        sha256: checksum of the file.
    """

    rows: Numbers
    unreadable: NDArray[np.bool_]
    impossible: NDArray[np.bool_]
    context: Context
    sha256: str


def whole_table(
    table: RawTable,
    path: Path,
    source: TypedSource,
    columns: TableColumns,
    train: NDArray[np.intp],
) -> WholeTable:
    """The rows of a table that is read.

    Args:
        table: it.
        path: of its file.
        source: which columns are the context.
        columns: what was decided of the others.
        train: indices of the training rows, which determine mean, scale and range of a context.

    Raises:
        DataError: as of `load_typed`.
    """
    parts = _Columns.of(table, path, source)
    converted = _converted(parts, columns)
    labels = None
    if source.labels is not None:
        labels = source.labels, _labels(parts.named(source.labels))
    row_context = context(source.context, _numbers(parts, source.context), labels, train)
    impossible = np.asarray(converted.impossible.any(1))
    table = parts.modelled
    for each in unfamiliar_values(table.columns, converted, columns.modelled, columns.left_out):
        if each.sort == "changed_constants":
            impossible[each.rows] = True
    unreadable = np.asarray(converted.unreadable.any(1))
    return WholeTable(converted.rows, unreadable, impossible, row_context, checksum_of([path]))


@dataclass(frozen=True)
class _Columns:
    """The columns of one file: those that may be modelled, and those that rows are conditioned on.

    Args:
        path: of the file.
        modelled: the table of the former.
        conditions: the latter by name.
    """

    path: Path
    modelled: RawTable
    conditions: dict[str, RawColumn]

    @classmethod
    def of(cls, table: RawTable, path: Path, source: TypedSource) -> "_Columns":
        names = [*source.context, *([] if source.labels is None else [source.labels])]
        if unknown := [name for name in names if name not in table.columns]:
            raise DataError(
                f"{path} has no columns {unknown} for the context: the columns are "
                f"{list(table.columns)}"
            )
        modelled = table.without(names)
        if table.rows < 1 or not modelled.columns:
            raise DataError(f"{path} holds {table.rows} rows of {len(modelled.columns)} columns")
        return cls(path, modelled, {name: table.columns[name] for name in names})

    def named(self, name: str) -> RawColumn:
        """A column that rows are conditioned on."""
        return self.conditions[name]


def _decided(table: RawTable, path: Path, source: TypedSource) -> Decision:
    if table.rows < MIN_ROWS:
        raise DataError(f"{path}: expected at least {MIN_ROWS} rows, got {table.rows}")
    try:
        decision = decide(table, Overrides(source.keep, source.drop, source.kinds))
    except TableError as error:
        raise DataError(f"{path}: {error}") from None
    if decision.problems:
        first, *others = decision.problems
        more = f"; and so {len(others)} more columns: bijecta inspect says which" * bool(others)
        raise DataError(f"{path}: {first}{more}")
    if not decision.columns:
        told = "; ".join(f"{each.name!r} {each.detail}" for each in decision.left_out)
        raise DataError(f"{path} has no column to model: {told:.400}")
    return decision


def _converted(table: _Columns, columns: TableColumns) -> Converted:
    """The values of the modelled columns as rows."""
    left_out = [column.name for column in columns.left_out]
    try:
        return to_rows(table.modelled.columns, columns.modelled, left_out)
    except TableError as error:
        raise DataError(f"{table.path}: {error}") from None


def _rows(table: _Columns, columns: TableColumns) -> Numbers:
    converted = _converted(table, columns)
    if converted.faults:
        fault = converted.faults[0]
        others = int(converted.faulty.sum()) - 1
        raise DataError(
            f"{table.path}, {table.modelled.place(fault.row)}: {fault}"
            + f", and {others} more rows have such values" * bool(others)
        )
    return converted.rows


def _numbers(table: _Columns, names: Sequence[str]) -> Numbers:
    """Columns of numbers that rows are conditioned on: N × columns."""
    values = np.empty((table.modelled.rows, len(names)))
    for i, name in enumerate(names):
        raw = table.named(name)
        if raw.form != "numbers":
            raise DataError(
                f"{table.path}: context column {name!r} holds {raw.form}, expected numbers; a "
                f'column of classes is labels = "{name}"'
            )
        values[:, i] = raw.values
        wrong = raw.missing | ~(np.abs(values[:, i]) <= np.finfo(np.float32).max)
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{table.path}, {table.modelled.place(row)}: context column {name!r} is "
                f"{raw.value(row)}, expected a finite number"
            )
    return values


def _labels(raw: RawColumn) -> NDArray[np.generic]:
    """The class of each row, as `context` takes them: text, numbers, or nothing where missing."""
    if raw.form == "numbers":
        numbers: Numbers = np.where(raw.missing, np.nan, raw.values.astype(np.float64))
        return numbers
    if all(isinstance(word, bool) for word in raw.words) and raw.words:
        truths = np.array(raw.words, np.float64)[raw.values]
        return np.where(raw.missing, np.nan, truths)
    texts = [raw.value(i) for i in range(len(raw))] if raw.form == "times" else None
    words = np.array(texts or [str(word) for word in raw.words] or [""])
    return np.where(raw.missing, "", words if texts else words[raw.values])
