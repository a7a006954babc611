"""What is decided of a table does not hang on how it is written, and misses no row."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.tables import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    Decision,
    LatticeColumn,
    NumericColumn,
    Overrides,
    RawTable,
    TableError,
    decide,
    from_array,
    from_values,
)

Values = dict[str, NDArray[Any]]


def decided(values: Values, **overrides: Any) -> Decision:
    columns = {name: from_array(column) for name, column in values.items()}
    rows = len(next(iter(values.values())))
    return decide(RawTable(columns, rows), Overrides(**overrides) if overrides else None)


def kinds(decision: Decision) -> dict[str, str]:
    return {c.name: c.kind for c in decision.columns} | {
        c.name: c.reason for c in decision.left_out
    }


def column(values: Any, **overrides: Any) -> Column:
    """How one column is decided, beside another that says nothing."""
    array = np.asarray(values)
    beside = np.random.default_rng(9).normal(size=len(array))
    decision = decided({"a": array, "beside": beside}, **overrides)
    assert not decision.problems
    return next(c for c in decision.columns if c.name == "a")


def table(seed: int, rows: int) -> Values:
    """A column of each kind, and of each that is left out."""
    rng = np.random.default_rng(seed)
    celsius = rng.normal(15, 8, rows).round(1)
    parts = rng.lognormal(3, 1, (2, rows)).round(2)
    return {
        "id": 70_000 + rng.permutation(rows),
        "name": np.array([f"name {i}" for i in rng.permutation(rows)], object),
        "constant": np.full(rows, 978),
        "real": rng.normal(size=rows),
        "count": rng.poisson(6, rows),
        "half": (2 * rng.normal(6, 2, rows)).round() / 2,
        "mostly_zero": np.where(rng.random(rows) < 0.7, 0.0, rng.lognormal(2, 1, rows).round(2)),
        "gaps": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(44, 14, rows).round()),
        "text": np.array(["DE", "FR", "US"], object)[rng.integers(0, 3, rows)],
        "flag": rng.random(rows) < 0.8,
        "code": np.array([200, 301, 404, 500, 503])[rng.integers(0, 5, rows)],
        "when": np.datetime64("2026-01-01T00:00", "m") + rng.integers(0, 500_000, rows),
        "celsius": celsius,
        "fahrenheit": celsius * 1.8 + 32,
        "first": parts[0],
        "second": parts[1],
        "total": parts.sum(0),
    }


EXPECTED = {
    "id": "identifier",
    "name": "identifier",
    "constant": "constant",
    "real": "numeric",
    "count": "lattice",
    "half": "lattice",
    "mostly_zero": "lattice",
    "gaps": "lattice",
    "text": "categorical",
    "flag": "categorical",
    "code": "categorical",
    "when": "datetime",
    "celsius": "lattice",
    "fahrenheit": "copy",
    "first": "lattice",
    "second": "lattice",
    "total": "copy",
}


@pytest.mark.parametrize("rows", [60, 400, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_each_column_is_of_its_kind_with_few_rows_and_with_many(seed: int, rows: int) -> None:
    found = decided(table(seed, rows))
    # few rows are not enough to tell codes from numbers, nor zeros of weight
    unsure = {"code"} if rows < 100 else set()
    assert {n: k for n, k in kinds(found).items() if n not in unsure} == {
        n: k for n, k in EXPECTED.items() if n not in unsure
    }
    assert not found.problems
    by_name = {c.name: c for c in found.columns}
    assert [by_name[n].missing for n in ("gaps", "count")] == [True, False]
    half = by_name["half"]
    assert isinstance(half, LatticeColumn)
    assert half.step == 0.5
    if rows >= 400:
        assert by_name["mostly_zero"].point_masses == [0.0]  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_says_nothing(seed: int) -> None:
    values = table(seed, 700)
    order = np.random.default_rng(seed).permutation(700)
    moved = decided({name: column[order] for name, column in values.items()})
    found = decided(values)
    assert moved.columns == found.columns
    assert kinds(moved) == kinds(found)
    assert dict(moved.reasons) == dict(found.reasons)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_columns_says_only_which_copy_stays(seed: int) -> None:
    values = table(seed, 700)
    names = np.random.default_rng(seed).permutation(list(values)).tolist()
    moved = decided({name: values[name] for name in names})
    found = {c.name: c for c in decided(values).columns}
    copies = {"celsius", "fahrenheit", "first", "second", "total"}
    assert {c.name: c for c in moved.columns if c.name not in copies} == {
        name: c for name, c in found.items() if name not in copies
    }
    left_out = {c.name for c in moved.left_out} & copies
    assert len(left_out & {"celsius", "fahrenheit"}) == 1
    assert len(left_out & {"first", "second", "total"}) == 1


@pytest.mark.parametrize("unit", [0.3048, 1000, 1e-18, 1e12, -1])
def test_units_change_numbers_and_no_kinds(unit: float) -> None:
    values = table(0, 700)
    numbers = ("real", "half", "mostly_zero", "gaps", "celsius", "fahrenheit", "first", "total")
    scaled = {n: column * unit if n in numbers else column for n, column in values.items()}
    found, moved = decided(values), decided(scaled)
    assert kinds(moved) == kinds(found)
    for one, other in zip(found.columns, moved.columns, strict=True):
        if one.name not in numbers:
            continue
        assert isinstance(one, LatticeColumn | NumericColumn)
        assert isinstance(other, LatticeColumn | NumericColumn)
        ends = sorted([one.low * unit, one.high * unit])
        assert [other.low, other.high] == pytest.approx(ends, rel=1e-9)
        assert other.point_masses == pytest.approx([m * unit for m in one.point_masses])
        if isinstance(one, LatticeColumn):
            assert isinstance(other, LatticeColumn)
            assert other.step == pytest.approx(one.step * abs(unit), rel=1e-9)


def test_nothing_is_a_copy_that_differs_in_one_row_of_many() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=20_000)
    again, codes = first * 2.5 - 1, rng.integers(0, 4, 20_000)
    words = np.array(["a", "b", "c", "d"], object)[codes]
    other_words = np.array(["x", "y", "z", "w"], object)[codes]
    values = {"a": first, "b": again, "words": words, "other": other_words}
    assert kinds(decided(values))["b"] == "copy"
    assert kinds(decided(values))["other"] == "copy"
    again[18_765] += 0.01
    other_words[19_999] = "x" if other_words[19_999] != "x" else "y"
    assert kinds(decided(values)) == {
        "a": "numeric",
        "b": "numeric",
        "words": "categorical",
        "other": "categorical",
    }
    second = rng.normal(size=20_000)
    total = first + second
    assert kinds(decided({"a": first, "c": second, "t": total}))["t"] == "copy"
    total[7] += 1e-3
    assert kinds(decided({"a": first, "c": second, "t": total}))["t"] == "numeric"


def test_rounded_copies_are_copies_and_the_finer_one_stays() -> None:
    rng = np.random.default_rng(1)
    fine = rng.normal(20, 8, 3000).round(2)
    values = {"coarse": (fine * 1.8 + 32).round(), "fine": fine}
    assert kinds(decided(values)) == {"coarse": "copy", "fine": "lattice"}
    assert kinds(decided(values, keep=["coarse"]))["coarse"] == "lattice"
    values["coarse"][17] += 2
    assert kinds(decided(values)) == {"coarse": "lattice", "fine": "lattice"}
    # flags that agree in all rows but a few are two
    flags = rng.integers(0, 2, 3000)
    nearly = flags.copy()
    nearly[5] = 1 - nearly[5]
    assert kinds(decided({"a": flags, "b": nearly, "c": fine})) == {
        "a": "categorical",
        "b": "categorical",
        "c": "lattice",
    }


def test_copies_with_other_gaps_are_two_columns() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=500)
    gaps = values.copy()
    gaps[::7] = np.nan
    assert kinds(decided({"a": values, "b": gaps}))["b"] == "numeric"
    assert kinds(decided({"a": gaps, "b": gaps * 3}))["b"] == "copy"


def test_numbers_that_were_given_out_are_identifiers_unless_their_order_says_something() -> None:
    rng = np.random.default_rng(3)
    rows = 2000
    given_out = rng.choice(3 * rows, rows, replace=False)  # a part of a table
    values = {"id": given_out, "x": rng.normal(size=rows), "k": rng.integers(0, 5, rows)}
    assert kinds(decided(values))["id"] == "identifier"
    assert kinds(decided(values, keep=["id"]))["id"] == "lattice"
    drifting = values | {"x": given_out / rows + 0.5 * values["x"]}
    found = decided(drifting)
    assert kinds(found)["id"] == "lattice"
    assert any("'id' numbers the rows" in note for note in found.notes)
    # measurements that hardly repeat are no identifiers, neither are times
    area = rng.lognormal(10, 2, rows).round()
    assert len(np.unique(area)) > 0.9 * rows
    assert kinds(decided(values | {"area": area}))["area"] == "lattice"
    seconds = rng.integers(0, 86_400 * 365, rows)
    assert kinds(decided(values | {"t": seconds}))["t"] == "lattice"


def looks(found: Decision) -> list[str]:
    """What is said of columns that look like identifiers."""
    return [note for note in found.notes if "looks like an identifier" in note]


@pytest.mark.parametrize("rows", [400, 20_000])
def test_drawn_numbers_are_modelled_and_said_to_look_like_identifiers(rows: int) -> None:
    rng = np.random.default_rng(7)
    customer = rng.integers(10**8, 10**9, rows)
    values = {"the customer": customer, "x": rng.normal(size=rows), "k": rng.integers(0, 5, rows)}
    found = decided(values)
    assert kinds(found)["the customer"] == "lattice"
    (note,) = looks(found)
    assert note.startswith("column 'the customer' looks like an identifier, and is modelled")
    assert "--drop 'the customer', or drop in a recipe's [data]" in note
    assert not looks(decided(values, keep=["the customer"]))
    assert not looks(decided(values, kinds={"the customer": "numeric"}))
    gaps = np.where(np.arange(rows) % 50, customer, np.nan)
    assert looks(decided(values | {"the customer": gaps}))
    # two such numbers, though they are in one order, as accounts of customers may be
    account = customer // 100 + rng.integers(0, 10**5, rows)
    assert len(looks(decided(values | {"account": account}))) == 2
    # it tells something of another column: of a class, and of a time
    assert not looks(decided(values | {"k": customer // 200_000_000}))
    times = np.datetime64("2024-01-01", "s") + (customer - 10**8).astype("timedelta64[s]")
    assert not looks(decided(values | {"when": times}))


@pytest.mark.parametrize(
    "measure",
    [
        lambda rng, n: rng.lognormal(17, 2, n).round(),
        lambda rng, n: rng.normal(1e7, 1e6, n).round(),
        lambda rng, n: rng.gamma(3, 1e7, n).round(),
        lambda rng, n: rng.uniform(0, 1e6, n),
        lambda rng, n: rng.integers(1_600_000_000, 1_700_000_000, n),
        lambda rng, n: rng.integers(0, 20 * n, n),
    ],
    ids=["lognormal", "normal", "gamma", "no whole numbers", "seconds since 1970", "repeated"],
)
def test_measurements_do_not_look_like_identifiers(measure: Any) -> None:
    rng = np.random.default_rng(8)
    for rows in (199, 400, 3000):
        values = {"m": measure(rng, rows), "x": rng.normal(size=rows)}
        assert not looks(decided(values))


def test_two_numbers_of_one_event_are_both_identifiers() -> None:
    rng = np.random.default_rng(4)
    order = 10_000 + np.arange(1500)
    shipment = np.cumsum(rng.integers(1, 3, 1500))
    found = kinds(decided({"order": order, "ship": shipment, "x": rng.normal(size=1500)}))
    assert found == {"order": "identifier", "ship": "identifier", "x": "numeric"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(40) % 11, "lattice"),
        (np.tile([0, 1], 30), "categorical"),
        (np.tile([1.5, 2.5], 30), "categorical"),
        (np.log1p(np.random.default_rng(0).poisson(4, 300)), "numeric"),
        (np.random.default_rng(0).integers(0, 256, 500).astype(np.uint8), "lattice"),
        (np.random.default_rng(0).geometric(0.05, 500), "lattice"),
        (np.array([7, 99, 103, 4711, 90210])[np.random.default_rng(0).integers(0, 5, 500)],
         "categorical"),
        (np.array([10, 50, 100, 250, 500, 1000, 2000, 5000])[
            np.random.default_rng(0).integers(0, 8, 500)], "lattice"),
        (np.random.default_rng(0).normal(size=300).astype(np.float32), "numeric"),
    ],
)  # fmt: skip
def test_numbers_are_ordered_unless_they_are_clearly_codes(values: NDArray[Any], kind: str) -> None:
    assert column(values).kind == kind


def test_ends_are_closed_where_values_pile_up_at_both() -> None:
    rng = np.random.default_rng(0)
    grades = column(rng.integers(1, 6, 2000))
    counts = column(rng.poisson(3, 2000))
    assert isinstance(grades, LatticeColumn)
    assert isinstance(counts, LatticeColumn)
    assert (grades.closed, counts.closed) == (True, False)


def test_values_of_weight_and_markers_are_point_masses() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=2000)
    real[rng.random(2000) < 0.3] = 0.5
    real[:4] = -999.0
    found = column(real)
    assert isinstance(found, NumericColumn)
    assert found.point_masses == [-999.0, 0.5]
    ages = rng.normal(40, 10, 2000).round()
    ages[:5] = -999
    lattice = column(ages)
    assert isinstance(lattice, LatticeColumn)
    assert lattice.point_masses == [-999.0]
    assert column(rng.poisson(9, 2000)).point_masses == []  # type: ignore[union-attr]


def test_a_few_values_off_the_step_are_said() -> None:
    values = np.random.default_rng(0).poisson(9, 2000).astype(float)
    values[17] = np.pi
    beside = np.random.default_rng(9).normal(size=2000)
    found = decided({"a": values, "b": beside})
    assert found.columns[0].kind == "numeric"
    assert "all but 1 of 2000 values are multiples of 1" in found.notes[0]
    assert "3.14159265358979 in row 17" in found.notes[0]


def test_classes_are_the_most_frequent_ones() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in rng.geometric(0.004, 5000)]
    found = column(np.array(words, object))
    assert isinstance(found, CategoricalColumn)
    counts = [words.count(str(each)) for each in found.classes]
    assert counts == sorted(counts, reverse=True)
    assert len(found.classes) == 256
    assert found.other
    flag = column(rng.random(100) < 0.5)
    assert isinstance(flag, CategoricalColumn)
    assert not flag.other


TEXTS: dict[str, tuple[list[Any], str]] = {
    "numbers": (["1.5", "2", "?", "", "7.25"] * 8, "lattice"),
    "leading zeros": (["007", "013", "021"] * 20, "categorical"),
    "yes and no": (["yes", "no", "No"] * 20, "categorical"),
    "dates": ([f"{d:02d}.03.2026" for d in range(1, 31)] * 2, "datetime"),
    "times": ([f"2026-03-01 {h:02d}:30" for h in range(24)] * 2, "datetime"),
    "of the day": ([f"{h:02d}:30" for h in range(24)] * 2, "datetime"),
    "codes with letters": (["1A", "2B", "3C"] * 20, "categorical"),
    "many and more": (["0", "1", "2", "3+", "1"] * 20, "categorical"),
    "sizes": (["S", "M", "L", None] * 20, "categorical"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_text_is_what_it_looks_like(case: str) -> None:
    values, kind = TEXTS[case]
    beside = from_array(np.random.default_rng(9).normal(size=len(values)))
    found = decide(RawTable({"a": from_values(values), "beside": beside}, len(values)))
    assert not found.problems
    assert found.columns[0].kind == kind
    assert found.columns[0].missing == bool({None, "?"} & set(values))


def test_namibia_is_a_country_among_countries() -> None:
    beside = np.random.default_rng(9).normal(size=60)
    countries = decided({"a": np.array(["NA", "DE", "US"] * 20, object), "beside": beside})
    others = decided({"a": np.array(["NA", "red", "blue"] * 20, object), "beside": beside})
    assert [countries.columns[0].missing, others.columns[0].missing] == [False, True]


FAULTS: dict[str, tuple[Callable[[list[str]], None], str]] = {
    "a word": (lambda a: a.__setitem__(7, "abc"), r"row 7: 'abc' is no number"),
    "a comma": (lambda a: a.__setitem__(7, "5,34"), r"row 7: '5,34', which has a decimal comma,"),
    "a unit": (lambda a: a.__setitem__(7, "3 kg"), r"row 7: '3 kg', which ends in a unit, is no"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_text_among_numbers_is_a_problem_by_its_row_and_all_problems_are_said(case: str) -> None:
    spoil, said = FAULTS[case]
    numbers = [f"{value:.3f}" for value in np.random.default_rng(0).normal(size=60)]
    spoil(numbers)
    dates = ["2026-03-01"] * 30 + ["2026-04-31"] + ["2026-05-02"] * 29
    columns = {"a": from_values(numbers), "d": from_values(dates)}
    found = decide(RawTable(columns, 60, place=lambda row: f"row {row}"))
    assert len(found.problems) == 2
    (of_a,) = [p for p in found.problems if "'a'" in p]
    assert re.search(said, of_a)
    assert any("row 30" in p and "'2026-04-31' is no time" in p for p in found.problems)
    # the advice, followed
    followed = Overrides(drop=["d"], kinds={"a": "categorical"})
    mended = decide(RawTable(columns, 60), followed)
    assert not mended.problems
    assert kinds(mended) == {"a": "categorical", "d": "dropped"}


def test_overrides_are_obeyed_or_refused() -> None:
    values = table(0, 400)
    chosen = {"count": "numeric", "half": "categorical", "name": "categorical", "when": "numeric"}
    found = decided(values, kinds=chosen, keep=["constant"], drop=["real"])
    assert chosen.items() <= kinds(found).items()
    assert kinds(found)["real"] == "dropped"
    assert kinds(found)["constant"] == "categorical"
    for overrides, said in (
        ({"drop": ["nobody"]}, "drop names 'nobody': the columns are 'id'"),
        ({"keep": ["id"], "drop": ["id"]}, "'id' cannot be dropped and kept"),
        ({"kinds": {"id": "code"}}, "expected one of numeric, lattice, categorical, datetime"),
    ):
        with pytest.raises(TableError, match=said):
            decided(values, **overrides)
    assert "multiples of no step" in decided(values, kinds={"real": "lattice"}).problems[0]
    assert "is no number" in decided(values, kinds={"text": "numeric"}).problems[0]
    assert "no times" in decided(values, kinds={"real": "datetime"}).problems[0]


@pytest.mark.parametrize(("days", "features"), [(6, 1), (7, 2), (359, 2), (360, 3)])
def test_of_times_counts_what_they_have_gone_round(days: int, features: int) -> None:
    hours = np.random.default_rng(0).integers(0, 24 * days, 60)
    hours[:2] = 0, 24 * days
    found = column(np.datetime64("2026-01-01T00", "h") + hours)
    assert isinstance(found, DatetimeColumn)
    assert found.features == ["hour", "weekday", "day_of_year"][:features]


def test_infinite_numbers_are_a_problem_and_no_values_are_a_constant() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=60)
    values[3] = np.inf
    found = decided({"a": values, "b": np.full(60, np.nan), "c": rng.normal(size=60)})
    assert "row 3: expected finite numbers, got inf" in found.problems[0]
    assert found.left_out[0].detail == "has no value in any row"


@pytest.mark.parametrize("copies", [2, 5, 9])
@pytest.mark.parametrize("how", ["beside each other", "one after the other"])
@pytest.mark.parametrize("kind", ["numeric", "discrete"])
def test_copies_of_rows_do_not_make_their_numbers_tell_anything(
    kind: str, how: str, copies: int
) -> None:
    rng = np.random.default_rng(3)
    rows = 80
    values: Values = {
        "amount": rng.normal(size=rows) if kind == "numeric" else rng.integers(0, 60, rows),
        "count": rng.integers(0, 9, rows),
        "text": np.array(["a", "b", "c"], object)[rng.integers(0, 3, rows)],
    }
    places = np.repeat(np.arange(rows), copies)
    if how == "one after the other":
        places = np.tile(np.arange(rows), copies)
    numbered = {"row": np.arange(len(places))} | {k: v[places] for k, v in values.items()}
    assert kinds(decided(numbered))["row"] == "identifier"
    # rows in an order that tells something are numbered by something that does
    order = np.argsort(values["amount"])[places]
    ordered = {"row": np.arange(len(places))} | {k: v[order] for k, v in values.items()}
    assert kinds(decided(ordered))["row"] == "lattice"


def test_columns_are_left_out_in_their_order() -> None:
    rows = np.random.default_rng(0).normal(size=200)
    names = {f"id{i}": np.random.default_rng(i).permutation(200) for i in range(9)}
    found = decided(names | {"amount": rows})
    assert [column.name for column in found.left_out] == list(names)


def test_whole_numbers_that_only_texts_tell_apart_are_classes() -> None:
    for first in (2**53, 2**63, 10**30):
        texts = np.array([str(first + i % 3) for i in range(60)], object)
        assert column(texts).kind == "categorical"
        assert column(texts, kinds={"a": "numeric"}).kind == "numeric"
    assert column(np.array([str(2**60 * (i % 40)) for i in range(60)], object)).kind == "lattice"
    assert column(np.array([f"{i % 40}.5" + "0" * 20 for i in range(60)], object)).kind == "lattice"
