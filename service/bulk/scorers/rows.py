"""The columns of a file as rows of a model: which are read, and what is wrong with which row."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest, DetectorManifest, TypedManifest
from service.errors import InvalidInputError
from service.operations import (
    Fault,
    Impossible,
    RowFaults,
    TableColumns,
    context_rows,
    rows_and_context,
    settled_rows,
    typed_rows_and_context,
    with_holes,
)
from service.tables import RawColumn, Unfamiliar, Word, from_array
from service.types import Floats


@dataclass
class ModelRows:
    """Rows as the graphs of a model take them.

    Args:
        x: N × event shape, of the rows without faults.
        seen: the same as they came, before values were put where their cells are.
        context: N × columns, of a conditional model.
        impossible: N × (D + C), which values have no probability, see `SettledRows`.
        numbers: N, of the rows among all.
        unfamiliar: what all rows hold that the data had not.
        columns: of all rows, as they came, without the context.
        faults: of all rows.
    """

    x: Floats
    seen: Floats
    context: Floats | None
    impossible: NDArray[np.bool_]
    numbers: NDArray[np.intp]
    unfamiliar: Sequence[Unfamiliar]
    columns: TableColumns
    faults: RowFaults

    @property
    def are_unfamiliar(self) -> NDArray[np.bool_]:
        """Of each row, whether it holds what the data had not."""
        rows = [each.rows for each in self.unfamiliar]
        return np.isin(self.numbers, np.concatenate([np.zeros(0, np.intp), *rows]))

    def records(self, places: NDArray[np.intp]) -> list[dict[str, Word | None]]:
        """Some rows as values by name, as they came."""
        raw: dict[str, RawColumn] = {}
        for name, column in self.columns.items():
            if isinstance(column, RawColumn):
                raw[name] = column
            elif column.ndim == 1:
                raw[name] = from_array(column)
            else:  # lists, as training names their values
                raw |= {f"{name}.{i}": from_array(values) for i, values in enumerate(column.T)}
        numbers = self.numbers[places].tolist()
        return [{name: column.word(row) for name, column in raw.items()} for row in numbers]

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Of each row, whether it has no probability, as typed columns tell."""
        return np.asarray(self.impossible.any(1))


def column_choice(
    manifest: AnyManifest, names: Sequence[str], keep: Collection[str]
) -> Callable[[str], bool]:
    """Which columns of a file a model reads: those of its names, or all in their order.

    Args:
        manifest: of the model.
        names: of the file.
        keep: columns that stand beside the scores; in a file whose columns are taken in their
            order they are no coordinates.

    Returns:
        Whether a column of this name is read.
    """
    coordinates = manifest.column_names
    of_context = ["context", *(column.name for column in manifest.context or ())]
    known = {*(coordinates or ()), *of_context}
    if isinstance(manifest, TypedManifest):
        known |= {c.name for c in manifest.left_out if c.constant is not None}
    if coordinates and set(coordinates) <= set(names):
        return lambda name: name in known
    if "x" in names:
        return lambda name: name == "x" or name in of_context
    # what is lacking, or left over, is said when the model looks at them
    return lambda name: name not in keep or name in of_context


def model_rows(manifest: AnyManifest, columns: TableColumns, count: int) -> ModelRows:
    """The rows of some columns, without those that have a fault.

    Args:
        manifest: of the model.
        columns: by name.
        count: rows.

    Raises:
        ServiceError: columns that are not those of the model.
    """
    faults = RowFaults(count, partial=True, most_listed=count)
    names = {"context", *(column.name for column in manifest.context or ())}
    names -= set(manifest.column_names or ())
    x: Floats
    typed = manifest.typed if isinstance(manifest, TypedManifest) else None
    unfamiliar: Sequence[Unfamiliar] = ()
    if typed is not None:
        rows, context = typed_rows_and_context(columns, typed, has_holes=True)
        are_scored = isinstance(manifest, DetectorManifest)
        what: Impossible = "answered" if are_scored else "refused by name"
        x, impossible = settled_rows(typed, rows, "x", faults, what)
        seen: Floats = rows.values
        unfamiliar = rows.unfamiliar
    else:
        x, context = _numbers(manifest, columns, faults)
        impossible, seen = np.zeros((count, 0), bool), x
    given_context = context_rows(manifest, context, faults)
    faults.keep_sound()
    if given_context is not None:
        given_context = faults.kept(given_context)
    return ModelRows(
        faults.kept(x),
        faults.kept(seen),
        given_context,
        faults.kept(impossible),
        faults.kept(np.arange(count)),
        unfamiliar,
        {name: column for name, column in columns.items() if name not in names},
        faults,
    )


def _numbers(
    manifest: AnyManifest, columns: TableColumns, faults: RowFaults
) -> tuple[Floats, NDArray[Any] | None]:
    """Rows of a flow, of which those are found that hold anything but numbers, and the context."""
    rows, context = rows_and_context(columns, manifest, "x", has_holes=True)
    shape = tuple(manifest.event_shape)
    if rows.shape[1:] != shape:
        expected, got = (" × ".join(map(str, each)) or "one" for each in (shape, rows.shape[1:]))
        raise InvalidInputError(
            f"expected {expected} numbers a row, got {got} (columns to keep are left out)"
        )
    with np.errstate(over="ignore"):
        x = np.asarray(rows, manifest.dtype, order="C")
    finite = np.isfinite(x)
    if not finite.all():
        arrays = {name: with_holes(column) for name, column in columns.items()}

        def describe(_: int, row: int) -> Fault:
            return _described(columns, arrays, manifest.dtype, row)

        faults.check(~finite.reshape(len(x), -1).all(1), InvalidInputError, describe)
    return x, context


def _described(
    columns: TableColumns, arrays: dict[str, NDArray[Any]], dtype: str, row: int
) -> Fault:
    """What a row has in place of a number that can be held."""
    for name, values in arrays.items():
        if values.dtype.kind not in "fiu":
            continue
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(np.asarray(values[row], dtype))
        if wrong.any():
            column = columns[name]
            value = column.value(row) if isinstance(column, RawColumn) else values[row][wrong][0]
            return Fault(f"expected a finite {dtype} number, got {value}", {"column": name})
    raise AssertionError("a row is faulty whose columns are not")
