"""Constant columns are known by their values, in whatever form a request has them."""

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.tables import (
    LeftOutColumn,
    NumericColumn,
    RawColumn,
    RawTable,
    decide,
    from_array,
    from_arrow,
    from_values,
    remarks_on,
    to_rows,
    unfamiliar_values,
)

ROWS = 20

DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12)

NUMBER = NumericColumn(name="n", low=0, high=1)


def as_number(value: Any) -> Any:
    """A text that is a number as one, and one that stands for nothing as None."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return None


CONSTANTS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "text": ("EUR", ["EUR"], ["eur", "USD", None, 5, True, ""]),
    "a gap in another column": ("none", ["none"], ["None", None]),
    "leading zeros": ("007", ["007"], ["7", 7, "0007"]),
    "truth": (True, [True, "true", "yes", 1, "1"], [False, "false", 0, "0", None, "x"]),
    "a whole number": (978, [978, 978.0, "978", " 978.0"], [979, "978,0", None, "x", True]),
    "a number as text": ("0.10", [0.1, "0.1", "1e-1"], [0.2, "0.2", "0,1", None]),
    "a large number": (2**53 - 1, [2**53 - 1, str(2**53 - 1)], [2**53 - 2]),
    "a day": ("29.02.2024", ["29.02.2024", "2024-02-29"], ["28.02.2024", "x", 5, None]),
    "nothing": (None, [None, "", "NA"], [0, "x", False]),
    "nothing as text": ("N/A", [None, "N/A", "?"], [0, "x"]),
    "what may be nothing": ("n.a.", ["n.a."], [None, "?"]),
}


def changed_constants(table: dict[str, RawColumn], left_out: list[LeftOutColumn]) -> list[Any]:
    count = len(next(iter(table.values())))
    table = {**table, "n": from_array(np.arange(count))}
    converted = to_rows(table, [NUMBER], ["c"])
    return remarks_on(unfamiliar_values(table, converted, [NUMBER], left_out)).get(
        "changed_constants", []
    )


def left_out(column: RawColumn) -> LeftOutColumn:
    found = decide(RawTable({"c": column, "n": from_array(np.arange(len(column)) ** 2)}, ROWS))
    (one,) = [each for each in found.left_out if each.name == "c"]
    assert one.reason == "constant"
    again = LeftOutColumn.model_validate_json(one.model_dump_json())
    assert again == one
    return again


@pytest.mark.parametrize("kind", CONSTANTS)
def test_a_constant_is_known_in_every_form(kind: str) -> None:
    value, equal, others = CONSTANTS[kind]
    constant = left_out(from_values([value] * ROWS))
    for same in equal:
        assert changed_constants({"c": from_values([value, same])}, [constant]) == [], same
        assert changed_constants({"c": from_values([same])}, [constant]) == [], same
    for other in others:
        (said,) = changed_constants({"c": from_values([value, other, other])}, [constant])
        assert (said["column"], said["rows"], said["row_count"]) == ("c", [1, 2], 2), other
        assert said["value"] in (other, as_number(other))


@pytest.mark.parametrize(
    ("kind", "value", "texts"),
    [
        (
            pa.timestamp("ns", "Europe/Berlin"),
            NOON,
            ["2024-02-29T12:00:00Z", "2024-02-29 13:00+01:00"],
        ),
        (pa.timestamp("ms"), NOON, ["2024-02-29T12:00:00", "2024-02-29 12:00"]),
        (pa.date32(), DAY, ["2024-02-29", "2024-02-29T00:00"]),
        (pa.time64("us"), datetime.time(7, 30), ["07:30:00", "7:30"]),
        (pa.float32(), 0.1, [np.float32(0.1)]),
        (pa.decimal128(10, 2), None, [None]),
        (pa.bool_(), False, ["no", False]),
    ],
)
def test_a_constant_of_arrow_is_known_as_text(kind: Any, value: Any, texts: list[Any]) -> None:
    constant = left_out(from_arrow("c", pa.chunked_array([pa.array([value] * ROWS, kind)]))["c"])
    for text in texts:
        assert changed_constants({"c": from_values([text])}, [constant]) == [], text


def test_a_very_long_text_is_not_kept() -> None:
    constant = left_out(from_values(["x" * 501] * ROWS))
    assert constant.constant is None
    assert changed_constants({"c": from_values(["y"])}, [constant]) == []


def test_what_is_left_out_can_be_told_without_its_value() -> None:
    constant = left_out(from_values(["secret"] * ROWS))
    assert "secret" not in constant.without_values().model_dump_json()
    assert "secret" in constant.model_dump_json()
