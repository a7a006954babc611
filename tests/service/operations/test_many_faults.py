"""Rows that cannot be read, in thousands: each is named with its column, in linear time."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from service.operations import Impossible, RowFaults, settled_rows
from service.operations.typed.named import typed_rows
from service.tables import from_values
from tests.helpers.typed import typed_manifest

N = 3000


class Counted(list[Any]):
    """A list that counts what is taken out of it, one after another."""

    taken = 0

    def __iter__(self) -> Iterator[Any]:
        return map(self._take, super().__iter__())

    def __reversed__(self) -> Iterator[Any]:
        return map(self._take, super().__reversed__())

    def _take(self, item: Any) -> Any:
        self.taken += 1
        return item


@pytest.mark.parametrize("impossible", ["answered", "refused by name"])
def test_each_of_thousands_of_rows_is_named_with_its_column(impossible: Impossible) -> None:
    table = typed_manifest()
    # the first column is unreadable in half of the rows, and off its step in the others
    columns = {
        "count": from_values(["0,3" if i % 2 else "0.37" for i in range(N)]),
        "amount": from_values(["1"] * (N - 1) + ["1,5"]),
        "country": from_values(["DE"] * N),
        "seen": from_values(["2024-02-29"] * N),
    }
    rows = typed_rows(columns, table)
    assert rows.converted is not None
    listed = Counted(rows.converted.faults)
    rows = replace(rows, converted=replace(rows.converted, faults=listed))
    faults = RowFaults(N, partial=True, most_listed=N)
    settled_rows(table, rows, "x", faults, impossible)
    errors = faults.errors
    assert [error.row for error in errors] == list(range(1 if impossible == "answered" else 0, N))[
        :: 2 if impossible == "answered" else 1
    ]
    assert {error.column for error in errors[:-1]} == {"count"}
    assert errors[-1].column == "amount"
    assert all("number that is a multiple of 0.1" in error.detail for error in errors[:-1])
    assert listed.taken <= 2 * len(listed)
