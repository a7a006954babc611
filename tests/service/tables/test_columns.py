"""Descriptions of columns are what manifests keep: strict, and the same after JSON."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from service.tables import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    LatticeColumn,
    NumericColumn,
    Word,
)
from tests.helpers.examples import examples

COLUMN: TypeAdapter[Column] = TypeAdapter(Column)

COLUMNS: list[Column] = [
    NumericColumn(name="a", low=-1e300, high=0.1, point_masses=[0.1]),
    LatticeColumn(name="b", missing=True, low=0, high=2.0**53, step=1 / 93, origin=0.3),
    DatetimeColumn(name="c", low=0.0, high=1.0, step=60.0, features=["hour"], format="%H:%M"),
    CategoricalColumn(name="d", classes=["1", 1, 2.5, True, False], other=False),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.kind)
def test_columns_come_back_from_json_with_the_types_of_their_classes(column: Column) -> None:
    again = COLUMN.validate_json(column.model_dump_json())
    assert again == column
    if isinstance(column, CategoricalColumn):
        assert isinstance(again, CategoricalColumn)
        assert list(map(type, again.classes)) == list(map(type, column.classes))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "ordinal"}, "kind"),
        ({"colour": 3}, "Extra inputs"),
        ({"low": 3.0, "high": 2.0}, "low 3 is above high 2"),
        ({"step": 0.0}, "greater than 0"),
        ({"low": float("nan")}, "finite number"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "a" * 501}, "500 characters"),
        ({"kind": "categorical", "classes": ["a", "a"]}, "twice"),
        ({"kind": "categorical", "classes": [1, 1.0]}, "twice"),
        ({"kind": "categorical", "classes": []}, "at least 1"),
    ],
)
def test_what_is_no_column_is_refused(change: dict[str, Any], said: str) -> None:
    keys: dict[str, Any] = {"kind": "lattice", "name": "a", "low": 0.0, "high": 1.0, "step": 0.5}
    if change.get("kind") == "categorical":
        keys = {"name": "a"}
    with pytest.raises(ValidationError, match=said):
        COLUMN.validate_python(keys | change)


@examples(30)
@given(st.integers(-(10**9), 10**9), st.integers(0, 9))
def test_multiples_of_decimal_steps_are_the_decimal_numbers(multiple: int, places: int) -> None:
    column = LatticeColumn(name="a", low=0.0, high=1.0, step=10.0**-places if places else 1.0)
    number = float(f"{multiple}e-{places}")
    near = np.array([np.nextafter(number, np.inf), number])
    assert column.nearest(near).tolist() == [number, number]
    assert column.cells == 10**places + 1


@pytest.mark.parametrize("classes", [[True, False], [1, 0], [1.5, 2], ["a", "b"]])
def test_classes_keep_their_types_when_written_even_after_their_codes_were_asked_for(
    classes: list[Word],
) -> None:
    made = CategoricalColumn(name="of few", classes=classes)
    assert list(made.code_of.values()) == [0, 1]
    columns = TypeAdapter(list[Column])
    again = columns.validate_json(columns.dump_json([made]))
    assert again == [made]
    assert isinstance(again[0], CategoricalColumn)
    assert [type(word) for word in again[0].classes] == [type(word) for word in classes]
