"""Values become rows and rows values again; what cannot be one of its column is named."""

import re
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tables import (
    OTHER,
    CategoricalColumn,
    Column,
    DatetimeColumn,
    LatticeColumn,
    NumericColumn,
    RawColumn,
    RawTable,
    TableError,
    decide,
    from_array,
    from_arrow,
    from_columns,
    from_records,
    from_values,
    to_rows,
    to_values,
)
from tests.helpers.examples import examples

COUNTRY = CategoricalColumn(name="country", classes=["DE", "FR"], missing=True)
FLAG = CategoricalColumn(name="flag", classes=[True, False], other=False)
CODE = CategoricalColumn(name="code", classes=[200, 404])
AMOUNT = LatticeColumn(name="amount", low=0.0, high=99.0, step=0.01)
AGE = LatticeColumn(name="age", low=18, high=94, step=1.0, missing=True)
REAL = NumericColumn(name="real", low=-3.0, high=3.0, point_masses=[0.1])
WHEN = DatetimeColumn(name="when", low=0.0, high=2e9, step=60.0, format="%Y-%m-%dT%H:%M")
DAY = DatetimeColumn(name="day", low=0.0, high=2e9, step=86400.0, format="%d/%m/%Y")
TIME = DatetimeColumn(name="time", low=0.0, high=2e9, format="%Y-%m-%dT%H:%M:%S.%f%z")
COLUMNS: list[Column] = [COUNTRY, FLAG, CODE, AMOUNT, AGE, REAL, WHEN, DAY, TIME]


@st.composite
def rows(draw: st.DrawFn) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A row of all columns, as a model draws it."""
    missing = draw(st.booleans())
    return np.array(
        [
            np.nan if missing else draw(st.integers(0, 2)),
            draw(st.integers(0, 1)),
            draw(st.integers(0, 2)),
            round(draw(st.integers(0, 10**7)) * 0.01, 2),
            np.nan if missing else draw(st.integers(-(2**52), 2**52)),
            draw(st.floats(-1e300, 1e300)) + 0.0,
            draw(st.integers(0, 10**7)) * 60.0,
            draw(st.integers(-20_000, 10**5)) * 86400.0,
            draw(st.integers(-(10**9), 10**9)) + draw(st.integers(0, 999)) / 1000,
        ]
    )


@examples(25)
@given(st.lists(rows(), min_size=1, max_size=4))
def test_rows_come_back_from_their_values(drawn: list[Any]) -> None:
    x = np.stack(drawn)
    values = to_values(x, COLUMNS)
    again = to_rows({name: from_values(column) for name, column in values.items()}, COLUMNS)
    assert not again.faulty.any(), again.faults
    np.testing.assert_allclose(again.rows, x, rtol=1e-15, atol=1e-6)
    np.testing.assert_array_equal(again.rows[:, :8], x[:, :8])
    # in another order, and through Arrow
    table = pa.table({name: values[name] for name in reversed(values) if OTHER not in values[name]})
    present = [column for column in COLUMNS if column.name in table.column_names]
    arrow = {n: c for name in table.column_names for n, c in from_arrow(name, table[name]).items()}
    through = to_rows(arrow, present)
    assert not through.faulty.any(), through.faults
    indices = [COLUMNS.index(column) for column in present]
    np.testing.assert_array_equal(through.rows, again.rows[:, indices])


READ: list[tuple[Column, Any, float]] = [
    (COUNTRY, "DE", 0),
    (COUNTRY, "KY", 2),  # never seen
    (COUNTRY, None, np.nan),
    (COUNTRY, "", np.nan),
    (FLAG, True, 0),
    (FLAG, "false", 1),
    (FLAG, 0, 1),
    (CODE, 404, 1),
    (CODE, 404.0, 1),
    (CODE, "404", 1),
    (CODE, 7, 2),
    (AMOUNT, 0.1 + 0.2, 0.3),
    (AMOUNT, "12.50", 12.5),
    (AMOUNT, 1000, 1000.0),  # outside the range is the density's business
    (AGE, None, np.nan),
    (AGE, "NA", np.nan),
    (AGE, 2**53, 2.0**53),
    (REAL, 0.123456789, 0.123456789),
    (WHEN, "1970-01-02T00:01", 86460.0),
    (WHEN, "1970-01-02 00:01:00Z", 86460.0),
    (WHEN, "1970-01-02T01:01+01:00", 86460.0),
    (DAY, "03/01/1970", 172800.0),
    (DAY, "1970-01-03", 172800.0),
    (TIME, "1970-01-01T00:00:01.25Z", 1.25),
]


@pytest.mark.parametrize(("column", "value", "row"), READ, ids=str)
def test_values_are_read(column: Column, value: Any, row: float) -> None:
    found = to_rows({column.name: from_values([value])}, [column])
    assert not found.faults
    np.testing.assert_array_equal(found.rows, [[row]])


REFUSED: list[tuple[Column, Any, str]] = [
    (COUNTRY, 7, "expected a class such as 'DE' or nothing, got 7"),
    (COUNTRY, True, "expected a class such as 'DE' or nothing, got True"),
    (FLAG, "maybe", "expected one of True, False, got 'maybe'"),
    (FLAG, 2, "expected one of True, False, got 2"),
    (FLAG, None, "expected one of True, False, got missing"),
    (CODE, "abc", "expected a class such as 200, got 'abc'"),
    (AMOUNT, 12.345, "expected a number that is a multiple of 0.01, got 12.345"),
    (AMOUNT, "abc", "expected a number that is a multiple of 0.01, got 'abc'"),
    (AMOUNT, None, "expected a number that is a multiple of 0.01, got missing"),
    (AMOUNT, "", "expected a number that is a multiple of 0.01, got ''"),
    (AGE, True, "expected a whole number or nothing, got True"),
    (AGE, 41.5, "expected a whole number or nothing, got 41.5"),
    (REAL, np.inf, "expected a finite number, got inf"),
    (REAL, 10**400, "expected a finite number, got inf"),
    (REAL, "2026-01-01", "expected a finite number, got '2026-01-01'"),
    (WHEN, 1735689600, "expected a time such as '1970-01-01T00:00', a multiple of 60 s, got 1735"),
    (WHEN, "2026-02-30T00:00", "got '2026-02-30T00:00'"),
    (WHEN, "2026-02-03T00:00:30", "a multiple of 60 s, got '2026-02-03T00:00:30'"),
    (DAY, "13/13/2026", "expected a time such as '01/01/1970'"),
    (WHEN, None, "got missing"),
]


# What is of the kind of its column, and still cannot be.
IMPOSSIBLE = [
    *((column.name, None) for column in (FLAG, AMOUNT, WHEN)),
    (FLAG.name, 2),
    (AMOUNT.name, 12.345),
    (AMOUNT.name, ""),
    (AGE.name, 41.5),
    (WHEN.name, "2026-02-03T00:00:30"),
]


@pytest.mark.parametrize(("column", "value", "said"), REFUSED, ids=str)
def test_what_is_no_value_of_a_column_is_named_by_row(
    column: Column, value: Any, said: str
) -> None:
    good = to_values(np.zeros((1, 1)) + 600 * (column is WHEN), [column])[column.name][0]
    found = to_rows({column.name: from_values([good, value, good])}, [column])
    assert found.faulty.tolist() == [False, True, False]
    (fault,) = found.faults
    assert (fault.row, fault.column) == (1, column.name)
    assert re.search(re.escape(said), str(fault)), str(fault)
    is_impossible = (column.name, value) in IMPOSSIBLE
    assert found.impossible[:, 0].tolist() == [False, is_impossible, False]
    assert found.unreadable[1] == (not is_impossible) == (not fault.is_impossible)


def test_all_faults_of_all_columns_are_found_at_once() -> None:
    columns: list[Column] = [AMOUNT, COUNTRY]
    table = {
        "amount": from_values([1.0, 0.001, None, 2.0]),
        "country": from_values(["DE", 5, "FR", None]),
    }
    found = to_rows(table, columns)
    assert [(f.row, f.column) for f in found.faults] == [
        (1, "amount"),
        (1, "country"),
        (2, "amount"),
    ]
    assert found.faulty.tolist() == [False, True, True, False]


def test_names_are_those_of_the_columns_in_any_order() -> None:
    table = {"real": from_values([0.5]), "amount": from_values([1]), "id": from_values([7])}
    found = to_rows(table, [AMOUNT, REAL], left_out=["id", "name"])
    np.testing.assert_array_equal(found.rows, [[1.0, 0.5]])
    with pytest.raises(TableError, match="has 'id', which it does not know; the columns are 'amou"):
        to_rows(table, [AMOUNT, REAL])
    with pytest.raises(TableError, match="lacks 'age', and has 'real', which it does not know"):
        to_rows(table, [AMOUNT, AGE], left_out=["id"])
    with pytest.raises(TableError, match=r"none of the columns 'amount', 'age', but 'height'$"):
        to_rows({"height": from_values([7])}, [AMOUNT, AGE])


def test_float32_is_as_exact_as_it_can_be() -> None:
    values = np.array([0.1, 12.34, 99.99], np.float32)
    found = to_rows({"amount": from_array(values), "real": from_array(values)}, [AMOUNT, REAL])
    assert found.rows[:, 0].tolist() == [0.1, 12.34, 99.99]
    assert found.rows[0, 1] == 0.1  # a value of large weight
    assert not found.faults


ARROW: list[tuple[pa.Array, list[Any]]] = [
    (pa.array(["DE", None, "FR"]).dictionary_encode(), ["DE", None, "FR"]),
    (pa.array(["DE", None, "FR"], pa.large_string()), ["DE", None, "FR"]),
    (pa.array(["DE", None, "FR"], pa.string_view()), ["DE", None, "FR"]),
    (pa.array([1, None, 3], pa.int64()).dictionary_encode(), [1, None, 3]),
    (pa.array([1.5, None, float("nan")]), [1.5, None, None]),
    (pa.array([True, None, False]), [True, None, False]),
    (pa.array([2**60, None, 2**60 + 1]), [2**60, None, 2**60 + 1]),
    (pa.array([None, None], pa.null()), [None, None]),
    (pa.array([3, None], pa.decimal128(5, 2)), [3.0, None]),
    (pa.array([90, None], pa.duration("s")), [90.0, None]),
    (pa.array([], pa.string()), []),
]


@pytest.mark.parametrize(
    ("array", "values"), ARROW, ids=lambda each: str(getattr(each, "type", ""))
)
def test_arrow_columns_hold_what_they_hold_in_any_chunks(
    array: pa.Array, values: list[Any]
) -> None:
    for chunks in ([array], [array[:1], array[1:]]):
        column = from_arrow("a", pa.chunked_array(chunks, array.type))["a"]
        assert [_value(column, i) for i in range(len(column))] == values


def _value(column: RawColumn, row: int) -> Any:
    if column.missing[row]:
        return None
    value = column.values[row]
    return column.words[int(value)] if column.form == "words" else value.item()


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ms", "Europe/Berlin"),
             pa.date32(), pa.date64(), pa.timestamp("us")],
    ids=str,
)  # fmt: skip
def test_times_of_any_unit_are_seconds(kind: pa.DataType) -> None:
    days = pa.array([86400 * 20_000, None], pa.timestamp("s", getattr(kind, "tz", None)))
    column = from_arrow("a", pa.chunked_array([days.cast(kind)]))["a"]
    assert (column.form, column.missing.tolist()) == ("times", [False, True])
    assert column.values[0] == 86400 * 20_000
    (clock,) = from_arrow("a", pa.chunked_array([pa.array([3661], pa.time32("s"))])).values()
    assert (clock.values.tolist(), clock.time_form) == ([3661.0], "%H:%M:%S")


def test_lists_of_one_length_are_columns_and_others_are_refused() -> None:
    pairs = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0]), 2)
    columns = from_arrow("v", pa.chunked_array([pairs]))
    assert {n: c.values.tolist() for n, c in columns.items()} == {"v.0": [1, 3], "v.1": [2, 4]}
    with pytest.raises(TableError, match="column 'v' is of list"):
        from_arrow("v", pa.chunked_array([pa.array([[1.0], [2.0, 3.0]])]))
    with pytest.raises(TableError, match="row 1: expected a number, text, true, false or null"):
        from_values([1, [2]])


def test_records_and_columns_are_the_same_table() -> None:
    records: list[dict[str, Any]] = [
        {"a": 1, "b": "x"},
        {"a": None, "b": "y"},
        {"b": "x", "a": 2.5},
    ]
    table = from_records(records)
    columns = from_columns({"a": [1, None, 2.5], "b": ["x", "y", "x"]})
    for name in ("a", "b"):
        values = [_value(table[name], row) for row in range(3)]
        assert values == [record[name] for record in records]
        assert values == [_value(columns[name], row) for row in range(3)]
    with pytest.raises(TableError, match="row 1 lacks 'a' and has 'b', unlike row 0"):
        from_records([{"a": 1}, {"b": 2}])
    with pytest.raises(TableError, match="column 'a', row 1: expected a number, text, true, false"):
        from_records([{"a": 1}, {"a": {}}])
    with pytest.raises(TableError, match="column 'a' has 1 values, and 'b' 2"):
        from_columns({"a": [1], "b": [1, 2]})


def test_many_unknown_words_of_many_classes_take_no_time_of_both() -> None:
    column = CategoricalColumn(name="code", classes=list(range(65_536)))
    unknown = from_values([f"{i}" for i in range(100_000, 120_000)])
    started = time.process_time()
    assert set(to_rows({"code": unknown}, [column]).rows[:, 0]) == {65_536.0}
    assert column.code_of is column.code_of  # for the next request too
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("counts", "kind", "seconds"),
    [
        (2**62, pa.timestamp("s"), 2.0**62),
        (-(2**62), pa.timestamp("ms", "UTC"), -(2.0**62) / 1000),
        (1_709_164_800_123_456, pa.timestamp("us"), 1709164800.123456),
        (-1_500_000_000, pa.timestamp("ns"), -1.5),
        (2**31 - 1, pa.date32(), (2.0**31 - 1) * 86400),
        (86_400_000 * 10**11, pa.date64(), 86400.0 * 10**11),
    ],
)
def test_times_of_arrow_are_what_they_are_however_far(
    counts: int, kind: pa.DataType, seconds: float
) -> None:
    whole = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    column = pa.chunked_array([pa.array([counts, None], whole).cast(kind)])
    raw = from_arrow("when", column)["when"]
    assert raw.values[0] == pytest.approx(seconds, rel=1e-15)
    assert raw.missing.tolist() == [False, True]


def test_every_space_around_a_number_is_left_out() -> None:
    spaces = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()]
    texts = [f"{space}{i}.5{space}" for i, space in enumerate(spaces)]
    expected = np.arange(len(texts)) + 0.5
    raw = from_values(texts)
    numeric = NumericColumn(name="x", low=0.0, high=len(texts))
    assert np.array_equal(to_rows({"x": raw}, [numeric], []).rows[:, 0], expected)
    (decided,) = decide(RawTable({"x": raw}, len(texts), str)).columns
    assert np.array_equal(to_rows({"x": raw}, [decided], []).rows[:, 0], expected)
