"""Rows of typed columns in a request: their values, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, WithJsonSchema

from service.bundle import TypedManifest
from service.errors import InvalidInputError
from service.operations.rows.faults import Fault, RowFaults
from service.operations.values import to_float64
from service.tables import Converted, in_cells, support_of
from service.types import Float64


@dataclass(frozen=True)
class TypedRows:
    """Rows of a request, one or many.

    Args:
        values: N × D, or D of one row; NaN where a value is missing.
        converted: what came of rows whose values had names; None of arrays.
        remarks: what an answer says of them, see `Answer`.
    """

    values: Float64
    converted: Converted | None = None
    remarks: Mapping[str, Any] = field(default_factory=dict)

    def ends(self, names: Sequence[str]) -> dict[str, "TypedRows"]:
        """Each of as many rows as there are names, by name.

        Raises:
            InvalidInputError: there are more or fewer.
        """
        if len(self.values) != len(names):
            raise InvalidInputError(
                f"expected {len(names)} rows ({', '.join(names)}), got {len(self.values)}"
            )
        return {name: self._row(i) for i, name in enumerate(names)}

    def _row(self, i: int) -> "TypedRows":
        converted = self.converted
        if converted is not None:
            faults = [each._replace(row=0) for each in converted.faults if each.row == i]
            part = slice(i, i + 1)
            converted = Converted(converted.rows[part], converted.faulty[part], faults)
        return TypedRows(self.values[i], converted)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.values.nbytes


class SettledRows(NamedTuple):
    """Rows that a graph can be run on.

    Args:
        values: N × D.
        outside: N, which of them have no probability.
    """

    values: Float64
    outside: NDArray[np.bool_]


def settled_rows(
    table: TypedManifest, rows: TypedRows, name: str, faults: RowFaults, may_be_outside: bool
) -> SettledRows:
    """Rows with values that their columns can have; of arrays with numbers alone.

    Args:
        table: whose rows they are.
        rows: of the request, N × D.
        name: of the rows, for people.
        faults: of the request, which has found none so far.
        may_be_outside: whether rows without a probability have an answer.

    Raises:
        InvalidInputError: what `RowFaults.check` raises; names row, column and what was expected.
    """
    if rows.converted is not None:
        _check_converted(rows.converted, name, faults)
    _check_present(table, rows.values, name, faults)
    if table.typed is None:
        return SettledRows(rows.values, np.zeros(len(rows.values), bool))
    values, outside = in_cells(rows.values, table.named_columns)
    if not may_be_outside:
        _check_inside(table, rows.values, outside, name, faults)
    return SettledRows(values, np.asarray(outside.any(1)))


def decoded_rows(table: TypedManifest, x: Float64) -> tuple[Float64, Float64]:
    """Rows as a graph has decoded them.

    Args:
        table: whose rows they are.
        x: N × D.

    Returns:
        Rows with each value exactly where its cell is; and the same with numbers where values are
        missing that may be.
    """
    may_be_missing = np.array([column.missing for column in table.named_columns])
    settled, outside = in_cells(x, table.named_columns)
    settled[outside] = np.nan  # which a graph does not make
    return settled, np.where(np.isnan(x) & may_be_missing, 0.0, settled)


def _check_converted(converted: Converted, name: str, faults: RowFaults) -> None:
    prefix = "" if name == "x" else f"{name}: "  # which the caller has called rows or columns

    def describe(_: int, row: int) -> Fault:
        fault = next((each for each in converted.faults if each.row == row), None)
        if fault is None:  # it is beyond those that are described
            return Fault(f"{prefix}row {row} has a value that its column cannot have", {})
        return Fault(f"{prefix}row {row}, {fault}", {"column": fault.column})

    faults.check(converted.faulty, InvalidInputError, describe)


def _check_present(table: TypedManifest, values: Float64, name: str, faults: RowFaults) -> None:
    lacking = np.isnan(values)
    if table.typed is None:
        _check_numbers(lacking, name, faults)
        return
    lacking &= ~np.array([column.missing for column in table.named_columns])

    def describe(place: int, row: int) -> Fault:
        column = table.named_columns[int(np.argmax(lacking[place]))]
        detail = f"{name}: row {row}, column {column.name!r:.80} has no value, and may not lack one"
        return Fault(detail, {"column": column.name})

    faults.check(np.asarray(lacking.any(1)), InvalidInputError, describe)


def _check_numbers(lacking: NDArray[np.bool_], name: str, faults: RowFaults) -> None:
    """See that arrays lack no value."""

    def describe(place: int, row: int) -> Fault:
        where = np.argwhere(lacking[place])[0].tolist()
        column = where[0] if len(where) == 1 else where
        detail = f"{name}: row {row}, column {column} has no value: expected a number"
        return Fault(detail, {"column": column})

    faulty = np.asarray(lacking.any(axis=tuple(range(1, lacking.ndim))))
    faults.check(faulty, InvalidInputError, describe)


def _check_inside(
    table: TypedManifest,
    values: Float64,
    outside: NDArray[np.bool_],
    name: str,
    faults: RowFaults,
) -> None:
    def describe(place: int, row: int) -> Fault:
        i = int(np.argmax(outside[place]))
        column = table.named_columns[i]
        detail = (
            f"{name}: row {row}, column {column.name!r:.80} is {float(values[place, i])}, outside "
            f"the model's support: {support_of(column)}"
        )
        return Fault(detail, {"column": column.name})

    faults.check(np.asarray(outside.any(1)), InvalidInputError, describe)


def _to_typed_rows(value: Any) -> TypedRows:
    return value if isinstance(value, TypedRows) else TypedRows(to_float64(value, may_lack=True))


Rows = Annotated[
    TypedRows,
    PlainValidator(_to_typed_rows),
    WithJsonSchema(
        {
            "type": "array",
            "items": {},
            "description": "nested arrays of numbers: codes of classes, seconds since 1970 of "
            "times, null where a value is missing",
        }
    ),
]
"""A field that takes nested lists of numbers and nulls, in float64."""
