"""Rows of typed columns in a request: their values, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from service.bundle import TypedManifest
from service.errors import InvalidInputError
from service.operations.rows.faults import Fault, RowFaults
from service.operations.rows.holes import check_numbers
from service.operations.values import is_partial, to_float64
from service.tables import (
    Converted,
    Unfamiliar,
    ValueFault,
    expected,
    in_cells,
    some_value,
    support_of,
)
from service.types import Float64


@dataclass(frozen=True)
class TypedRows:
    """Rows of a request, one or many.

    Args:
        values: N × D, or D of one row; NaN where a value is missing.
        converted: what came of rows whose values had names; None of arrays.
        unfamiliar: what such rows hold that the data had not.
        remarks: what an answer says of them, see `Answer`.
    """

    values: Float64
    converted: Converted | None = None
    unfamiliar: Sequence[Unfamiliar] = ()
    remarks: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.values.shape

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
            unreadable, impossible = converted.unreadable[part], converted.impossible[part]
            converted = Converted(converted.rows[part], unreadable, impossible, faults)
        return TypedRows(self.values[i], converted)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        raw = [each.raw for each in self.unfamiliar]
        return self.values.nbytes + sum([r.values.nbytes + r.missing.nbytes for r in raw])

    @property
    def constants(self) -> list[Unfamiliar]:
        """Columns that are left out as they are constant, and have other values here."""
        return [each for each in self.unfamiliar if each.sort == "changed_constants"]


class SettledRows(NamedTuple):
    """Rows that a graph can be run on.

    Args:
        values: N × D.
        impossible: N × (D + C), which values of the D columns have no probability, and which of the
            C `constants` are another value; of arrays that are no table N × 0.
    """

    values: Float64
    impossible: NDArray[np.bool_]


Impossible = Literal["refused", "refused by name", "answered"]
"""What becomes of rows with values of probability zero: they are refused (`/encode`), refused where
they have names, and answered as arrays (`/log_prob`), or answered in every form (`/score`)."""


def settled_rows(
    table: TypedManifest, rows: TypedRows, name: str, faults: RowFaults, impossible: Impossible
) -> SettledRows:
    """Rows with values that their columns can have; of arrays with numbers alone.

    Args:
        table: whose rows they are.
        rows: of the request, N × D.
        name: of the rows, for people.
        faults: of the request, which has found none so far.
        impossible: what becomes of values of probability zero.

    Raises:
        InvalidInputError: what `RowFaults.check` raises; names row, column and what was expected.
    """
    if rows.converted is not None:
        _check_converted(table, rows.converted, impossible, name, faults)
    if table.typed is None:
        check_numbers(rows.values, name, faults)
        return SettledRows(rows.values, np.zeros((len(rows.values), 0), bool))
    columns, given = table.named_columns, rows.values
    if rows.converted is None:
        names = [column.name for column in columns]
        check_numbers(given, name, faults, names, may_lack=True)
        if faults.found:
            given = np.where(np.isinf(given), np.nan, given)
    values, outside = in_cells(given, columns)
    lacking = np.isnan(given) & ~np.array([column.missing for column in columns])
    if impossible != "answered":
        _check_present(table, lacking, name, faults)
        if impossible == "refused":
            _check_inside(table, given, outside, name, faults)
        return SettledRows(values, outside)
    outside |= lacking
    if rows.converted is not None:
        outside |= rows.converted.impossible
    if outside.any():
        values = np.where(outside, np.array([some_value(column) for column in columns]), values)
    if constants := rows.constants:
        changed = np.zeros((len(values), len(constants)), bool)
        for i, constant in enumerate(constants):
            changed[constant.rows, i] = True
        outside = np.concatenate([outside, changed], 1)
    return SettledRows(values, outside)


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


def _check_converted(
    table: TypedManifest,
    converted: Converted,
    impossible: Impossible,
    name: str,
    faults: RowFaults,
) -> None:
    prefix = "" if name == "x" else f"{name}: "  # which the caller has called rows or columns
    faulty, described = converted.unreadable, dict[int, ValueFault]()
    if not (are_answered := impossible == "answered"):
        faulty = faulty | converted.impossible
    for fault in reversed(converted.faults):  # so that a row's first one stays
        if not (are_answered and fault.is_impossible):
            described[fault.row] = fault

    def describe(_: int, row: int) -> Fault:
        if (fault := described.get(row)) is not None:
            return Fault(f"{prefix}row {row}, {fault}", {"column": fault.column})
        # beyond those whose values are described
        column = table.named_columns[int(np.argmax(faulty[row]))]
        detail = f"{prefix}row {row}, column {column.name!r}: expected {expected(column)}"
        return Fault(detail, {"column": column.name})

    faults.check(np.asarray(faulty.any(1)), InvalidInputError, describe)


def _check_present(
    table: TypedManifest, lacking: NDArray[np.bool_], name: str, faults: RowFaults
) -> None:
    """See that columns lack no value that may not."""

    def describe(place: int, row: int) -> Fault:
        column = table.named_columns[int(np.argmax(lacking[place]))]
        detail = f"{name}: row {row}, column {column.name!r:.80} has no value, and may not lack one"
        return Fault(detail, {"column": column.name})

    faults.check(np.asarray(lacking.any(1)), InvalidInputError, describe)


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


def _to_typed_rows(value: Any, info: ValidationInfo) -> TypedRows:
    if isinstance(value, TypedRows):
        return value
    return TypedRows(to_float64(value, may_lack=True, has_holes=is_partial(info)))


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
