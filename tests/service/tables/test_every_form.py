"""A value is the same one in every form of a table, and in every form that a model learns from."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.tables import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    Decision,
    LatticeColumn,
    NumericColumn,
    Overrides,
    RawColumn,
    RawTable,
    decide,
    from_array,
    from_arrow,
    from_values,
    in_cells,
    to_rows,
    to_values,
    unfamiliar_values,
)
from service.tables.durations import CLEAR, duration_texts

ROWS = 40

SINGLE, DOUBLE, BIG = pa.float32(), pa.float64(), pa.uint64()

# Values, one that is none of them, and the types of Arrow that hold all of them.
VALUES: dict[str, tuple[list[Any], Any, list[Any]]] = {
    "two fractions": ([0.07, 0.57], 0.08, [SINGLE, DOUBLE, pa.decimal128(4, 2)]),
    "two fractions of many digits": ([1 / 3, 2 / 3], 0.5, [SINGLE, DOUBLE]),
    "a constant fraction": ([0.57], 0.2, [SINGLE, DOUBLE, pa.decimal128(4, 2)]),
    "codes": ([3, 700, 9041, 20011], 5, [SINGLE, DOUBLE, pa.int32(), pa.decimal128(9, 0)]),
    "numbers of 63 bits": ([2**62 + i for i in range(5)], 2**62 + 9, [pa.int64(), BIG]),
    "numbers of 64 bits": ([2**63 + i for i in range(5)], 2**63 + 9, [BIG, pa.decimal128(20, 0)]),
    "two far numbers": ([2**60 + 7, 2**63 + 5], 2**63 + 6, [BIG, pa.decimal128(20, 0)]),
    "numbers of 70 bits": ([2**70 + i for i in range(5)], 2**70 + 9, [pa.decimal128(38, 0)]),
    "a constant number of 64 bits": ([2**63 + 5], 2**63 + 6, [BIG, pa.decimal128(20, 0)]),
    "truth": ([True, False], None, [pa.bool_()]),
    "cents": ([i / 100 for i in range(0, 40_000, 97)], 5.005, [SINGLE, DOUBLE]),
    "far cents": ([5e7 + i / 100 for i in range(0, 4000, 7)], 5e7 + 0.002, [DOUBLE]),
    "large whole numbers": (list(range(12_345_600, 12_345_680)), 12_345_678.24, [DOUBLE]),
    "whole numbers": (list(range(2_000_000, 2_000_080)), 2_000_000.25, [DOUBLE, pa.int64()]),
}

# What such files say is learnt as they say it: more digits than there are, numbers or text in place
# of truth, and fewer digits than others have.
NOT_LEARNT = {
    "JSON beside others",
    "float32 in JSON",
    "float32 in CSV",
    "CSV of SQL",
    ("truth", "CSV"),
    ("two fractions of many digits", "float"),
}


def forms(values: list[Any], types: list[Any]) -> dict[str, RawColumn]:
    """The same values as each format has them."""
    found = {}
    for kind in types:
        # numbers of Python do not become decimals
        array = (
            pa.array(values, DOUBLE).cast(kind)
            if isinstance(values[0], float)
            else pa.array(values, kind)
        )
        found[str(kind)] = from_arrow("c", pa.chunked_array([array]))["c"]
    found["CSV"] = from_values([str(value).lower() for value in values])
    if all(isinstance(value, bool) for value in values):
        found["CSV of SQL"] = from_values([str(int(value)) for value in values])
    if all(abs(value) < 2**64 for value in values):  # JSON has no longer ones
        found["JSON"] = from_values(values)
        found["JSON beside others"] = from_values([*values, 0.5]).taken(np.arange(len(values)))
    for name, column in [*found.items()]:  # as rows are sent by name
        found[f"{name}, by name"] = from_values([column.word(row) for row in range(len(column))])
    if SINGLE in types:  # as programs write them that make float64 of it
        wide = np.array(values, np.float32).astype(np.float64)
        found["float32 in JSON"] = from_values(wide.tolist())
        found["float32 in CSV"] = from_values(list(map(repr, wide.tolist())))
    return found


def decided(column: RawColumn) -> Decision:
    count = len(column)
    beside = from_array(np.random.default_rng(0).normal(size=count))
    return decide(RawTable({"c": column, "beside": beside}, count))


def unlike(column: RawColumn, found: Decision) -> list[int]:
    """The rows with a value that no row of the data had, or that no row can have."""
    table = {"c": column, "beside": from_array(np.zeros(len(column)))}
    converted = to_rows(table, found.columns, [each.name for each in found.left_out])
    said = unfamiliar_values(table, converted, found.columns, found.left_out)
    rows = {*np.flatnonzero(converted.unreadable.any(1)).tolist()}
    return sorted(rows.union(*(each.rows.tolist() for each in said)))


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_the_same_in_every_form(case: str) -> None:
    values, other, types = VALUES[case]
    copies = values * max(3, ROWS // len(values))
    asked = forms(values, types)
    others = {} if other is None else forms([other], [DOUBLE] if DOUBLE in types else [])
    for name, learnt in forms(copies, types).items():
        if name in NOT_LEARNT or (case, name) in NOT_LEARNT or "by name" in name:
            continue
        found = decided(learnt)
        assert not found.problems
        rows = None
        for form, column in asked.items():
            assert unlike(column, found) == [], (name, form)
            if found.columns[0].name == "c":
                got = to_rows({"c": column}, found.columns[:1]).rows
                expected = got if rows is None else rows
                np.testing.assert_array_equal(got, expected, f"{name}, {form}")
                rows = got
        for form, column in others.items():
            assert unlike(column, found) == [0], (name, form)


def test_numbers_that_are_rounded_are_no_known_class() -> None:
    ids = CategoricalColumn(name="c", classes=[2**63 + i for i in range(5)])
    for column in (from_values([2.0**63]), from_array(np.array([2.0**63]))):
        assert to_rows({"c": column}, [ids]).rows.tolist() == [[5.0]]
    merchants = CategoricalColumn(name="c", classes=[2**24, 2**24 + 1], other=False)
    rounded = from_array(np.array([2**24], np.float32))
    assert to_rows({"c": rounded}, [merchants]).impossible.tolist() == [[True]]
    assert to_rows({"c": from_values([2.0**24])}, [merchants]).rows.tolist() == [[0.0]]
    digits = CategoricalColumn(name="c", classes=["18446744073709551616"])
    assert to_rows({"c": from_values([2.0**64])}, [digits]).unreadable.tolist() == [[True]]
    zeros = from_values(["0" * 5000 + "9" * 20])  # which Python does not read as a whole number
    assert to_rows({"c": zeros}, [ids]).rows.tolist() == [[5.0]]


def test_numbers_of_float32_are_the_heavy_value_in_arrays_too() -> None:
    column = NumericColumn(name="c", low=0.0, high=1e9, point_masses=[0.1, 999_999_999.0])
    single = np.array([[0.1], [999_999_999.0]], np.float32)
    given = single.astype(np.float64)
    assert in_cells(given, [column])[0].tolist() == [[0.1], [1e9]]  # which may be one of its own
    assert given[0, 0] != 0.1
    found = to_rows({"c": from_array(single[:, 0])}, [column])
    assert found.rows.tolist() == [[0.1], [999_999_999.0]]


OF_DAY = DatetimeColumn(name="c", low=0.0, high=86_340.0, step=60.0, format="%H:%M")
MOMENT = DatetimeColumn(name="c", low=0.0, high=2e9, step=60.0, format="%Y-%m-%dT%H:%M")
DATE = DatetimeColumn(name="c", low=0.0, high=2e9, step=86_400.0, format="%d/%m/%Y")
NOON, DAY = datetime.time(12), datetime.date(2024, 2, 29)


@pytest.mark.parametrize(
    ("values", "texts", "columns"),
    [
        (pa.array([NOON], pa.time32("s")), ["12:00:00", "12:00"], [MOMENT, DATE]),
        (pa.array([NOON], pa.time64("us")), ["12:00:00"], [MOMENT, DATE]),
        (pa.array([DAY]), ["2024-02-29"], [OF_DAY]),
        (pa.array([datetime.datetime(2024, 2, 29, 12)]), ["2024-02-29T12:00"], [OF_DAY]),
    ],
)
def test_a_time_of_day_is_no_date_in_any_form(
    values: Any, texts: list[str], columns: list[Column]
) -> None:
    given = [
        from_arrow("c", pa.chunked_array([values]))["c"],
        *map(from_values, [[t] for t in texts]),
    ]
    of_dates = from_array(np.array(["2024-02-29T12:00"], "M8[s]"))
    given += [of_dates] * (columns == [OF_DAY])
    for column in columns:
        for raw in given:
            assert to_rows({"c": raw}, [column]).unreadable.tolist() == [[True]]
    mine = OF_DAY if columns != [OF_DAY] else MOMENT
    for raw in given:
        assert not to_rows({"c": raw}, [mine]).faulty.any()


# of the last ones there is one whose nanoseconds float64 rounds to those of another number
SECONDS = {
    "whole": [90.0, 4980.0, 0.0, 86399.0],
    "fractions": [0.1, 4980.123456, 59.9, 1e-6],
    "beyond a day": [183845.0, -3600.5, 1_000_000_000.001, 90.0],
}


@pytest.mark.parametrize("case", SECONDS)
def test_a_duration_is_the_same_in_every_form(case: str) -> None:
    seconds = SECONDS[case]
    counts = [int(Decimal(repr(each)).scaleb(9)) for each in seconds]
    arrow = {
        unit: pa.array([count // (10**9 // per) for count in counts], pa.duration(unit))
        for unit, per in {"ns": 10**9, "us": 10**6, "ms": 10**3, "s": 1}.items()
        if not any(count % (10**9 // per) for count in counts)
    }
    copies = {unit: array.take(pa.array([*range(4)] * ROWS)) for unit, array in arrow.items()}
    learnt = {unit: from_arrow("c", pa.chunked_array([each]))["c"] for unit, each in copies.items()}
    asked = {unit: from_arrow("c", pa.chunked_array([each]))["c"] for unit, each in arrow.items()}
    asked["numpy"] = from_array(np.array(counts, "m8[ns]"))
    asked |= {form: from_values(duration_texts(np.array(seconds), form)) for form in CLEAR}
    learnt |= {form: from_values(duration_texts(np.array(seconds * ROWS), form)) for form in CLEAR}
    asked |= {"numbers": from_values(seconds), "texts": from_values(list(map(repr, seconds)))}
    if case == "whole":
        of_day = pa.array([round(each) for each in seconds], pa.time32("s"))
        asked["of a day"] = from_arrow("c", pa.chunked_array([of_day]))["c"]
    asked |= {
        f"{name}, by name": from_values([column.word(row) for row in range(len(column))])
        for name, column in asked.items()
    }
    for name, raw in learnt.items():
        found = decide(RawTable({"c": raw}, len(raw)), Overrides(kinds={"c": "duration"}))
        assert not found.problems, name
        assert isinstance(found.columns[0], NumericColumn | LatticeColumn)
        assert found.columns[0].duration in CLEAR
        for form, column in asked.items():
            rows = to_rows({"c": column}, found.columns)
            assert not rows.faults, (name, form)
            assert rows.rows[:, 0].tolist() == seconds, (name, form)
        for wrong in ("5M", "1:23", "1.5h 20m", "2024-01-01", "", True):
            assert to_rows({"c": from_values([wrong])}, found.columns).faulty.all(), (name, wrong)


def test_durations_of_a_type_are_so_without_a_word_of_the_user() -> None:
    for raw in (
        from_arrow("c", pa.chunked_array([pa.array([*range(90, 130), None], pa.duration("s"))]))[
            "c"
        ],
        from_array(np.array([*range(90, 130), "NaT"], "m8[s]")),
    ):
        (column,) = decide(RawTable({"c": raw}, len(raw))).columns
        assert isinstance(column, LatticeColumn)
        assert (column.duration, column.step, column.missing) == ("%H:%M:%S", 1.0, True)
        assert raw.value(3) == "00:01:33"
        assert to_values(np.array([[93.0]]), [column]) == {"c": ["00:01:33"]}
    of_dates = from_array(np.array(["2024-01-01"] * 40, "M8[s]"))
    found = decide(RawTable({"c": of_dates}, 40), Overrides(kinds={"c": "duration"}))
    assert "it holds times, no durations" in found.problems[0]
    of_day = from_arrow("c", pa.chunked_array([pa.array([*range(40)], pa.time32("s"))]))["c"]
    for kinds, kind in ({}, "datetime"), ({"c": "duration"}, "lattice"):
        (column,) = decide(RawTable({"c": of_day}, 40), Overrides(kinds=kinds)).columns
        assert column.kind == kind
    hours = decide(RawTable({"c": raw}, len(raw)), Overrides(kinds={"c": "duration %Q"}))
    assert "'%Q' is no form of them" in hours.problems[0]


def test_times_off_their_step_are_so_in_every_form() -> None:
    off = datetime.datetime(2024, 2, 29, 12, 0, 0, 200_000)
    texts = from_values(["2024-02-29T12:00:00.2"])
    for raw in (texts, from_arrow("c", pa.chunked_array([pa.array([off])]))["c"]):
        (fault,) = to_rows({"c": raw}, [MOMENT]).faults
        assert fault.is_impossible
        assert "12:00:00.2" in fault.value


def test_a_whole_number_off_a_large_step_is_off() -> None:
    column = LatticeColumn(name="c", low=0.0, high=1e8, step=5.0)
    for raw in (from_values([12_345_676]), from_values(["12345676"]), from_values([12_345_676.0])):
        assert to_rows({"c": raw}, [column]).impossible.tolist() == [[True]]


def test_a_row_of_a_null_in_a_dictionary_has_no_value() -> None:
    nulls = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    other = pa.DictionaryArray.from_arrays(pa.array([1, 0]), pa.array(["a", "b"]))
    only = pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([None], pa.string()))
    for chunks in ([nulls], [nulls, other], [other, nulls], [only, nulls]):
        expected = [word for chunk in chunks for word in chunk.to_pylist()]
        column = from_arrow("c", pa.chunked_array(chunks))["c"]
        assert [column.word(row) for row in range(len(column))] == expected
