"""Rows by name, to and from a model of a table, against a server."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bijecta_client import RefusedError, RowError
from tests.helpers.askers import Make
from tests.helpers.typed import DAY, FIRST_DAY, log_prob

COUNTRIES = [None, "DE", "FR", "(other)"]

RECORDS: list[dict[str, Any]] = [
    {
        "amount": i / 7 - 1,
        "count": i % 11 / 10,
        "country": COUNTRIES[i % 4],
        "seen": str(np.datetime64("2024-01-01") + 9 * i),
    }
    for i in range(40)
]
AMOUNTS = np.array([record["amount"] for record in RECORDS])
EXPECTED = [log_prob(amount) for amount in AMOUNTS]
X = [0.1, 0.3, 1.0, FIRST_DAY + 59 * DAY]
RECORD = {"amount": 0.1, "count": 0.3, "country": "FR", "seen": "2024-02-29"}


class Pandas:
    """A data frame as far as pandas and this package have to do with each other."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.columns = columns

    def to_dict(self, orient: str = "dict") -> Any:
        assert orient == "list"
        return self.columns

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.stack(list(self.columns.values()), 1).astype(dtype)


class Polars(Pandas):
    """The same of polars."""

    def to_dict(self, *, as_series: bool = True) -> Any:  # type: ignore[override]
        assert not as_series
        return self.columns


def columns(records: list[dict[str, Any]] = RECORDS) -> dict[str, list[Any]]:
    return {name: [record[name] for record in records] for name in records[0]}


FORMS: dict[str, Any] = {
    "records": RECORDS,
    "a tuple": tuple(RECORDS),
    "columns": columns(),
    "arrays": columns() | {"amount": AMOUNTS, "seen": np.array(columns()["seen"], "M8[D]")},
    "Arrow table": pa.table(columns()),
    "record batch": pa.RecordBatch.from_pydict(columns()),
    "Arrow columns": {name: pa.array(values) for name, values in columns().items()},
    "pandas": Pandas(columns()),
    "polars": Polars(columns()),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_by_name_in_every_form(of_tables: Make, form: str) -> None:
    asker = of_tables(rows_per_request=16)
    assert asker("log_prob", FORMS[form]).tolist() == pytest.approx(EXPECTED, rel=1e-12)
    z, scores = asker("encode", FORMS[form])
    assert z.dtype == scores.dtype == np.float64
    assert z[:, 0].tolist() == AMOUNTS.tolist()
    assert scores.tolist() == pytest.approx(EXPECTED, rel=1e-12)
    x, again = asker("decode", z, records=True)
    assert x == RECORDS
    assert again.tolist() == pytest.approx(EXPECTED, rel=1e-12)


def test_values_of_many_kinds(of_tables: Make) -> None:
    asker = of_tables()
    seen = [np.datetime64("2024-02-29T00", "h"), datetime(2024, 2, 29), date(2024, 2, 29)]
    amounts = [np.float64(0.1), Decimal("0.1"), 0.1]
    for amount, time in zip(amounts, seen, strict=True):
        record = RECORD | {"amount": amount, "seen": time, "country": np.str_("FR")}
        assert np.array_equal(asker("encode", [record]).z, asker("encode", [X]).z)
    for gap in (None, float("nan"), Decimal("NaN"), np.float32("nan"), np.datetime64("NaT")):
        assert asker("encode", [RECORD | {"country": gap}]).z[0, 2] == 1.5


def test_faults_of_rows_by_name(of_tables: Make) -> None:
    asker = of_tables(rows_per_request=16)
    rows = [dict(record) for record in RECORDS]
    rows[18]["amount"] = "much"
    rows[33]["count"] = 7  # outside
    rows[35]["amount"] = float("inf")
    with pytest.raises(RefusedError, match="begins at row 16") as refused:
        asker("log_prob", rows)
    assert (refused.value.first_row, refused.value.extra["row"]) == (16, 18)
    failures: list[RowError] = []
    scores = asker("log_prob", rows, failures=failures)
    assert [failure.row for failure in failures] == [18, 35]
    assert np.flatnonzero(np.isnan(scores)).tolist() == [18, 35]
    assert np.flatnonzero(np.isneginf(scores)).tolist() == [33]
    failures = []
    z, scores = asker("encode", rows, failures=failures)
    assert [failure.row for failure in failures] == [18, 33, 35]
    assert np.flatnonzero(np.isnan(z).any(1)).tolist() == [18, 33, 35]
    assert np.flatnonzero(np.isnan(scores)).tolist() == [18, 33, 35]


def test_rows_without_an_answer_that_the_server_does_not_list(of_tables: Make) -> None:
    rows = [RECORD | {"amount": "much"}] * 1200 + [RECORD | {"count": 7}, RECORD]
    failures: list[RowError] = []
    scores = of_tables()("log_prob", rows, failures=failures)
    assert len(failures) == 1200
    assert failures[-1].reason == "not-listed"
    assert np.isnan(scores[:1200]).all()
    assert scores[1200:].tolist() == [-np.inf, pytest.approx(log_prob(0.1))]


def test_the_place_in_a_cell_is_drawn(of_tables: Make) -> None:
    asker = of_tables(rows_per_request=16)
    by_name = asker("encode", RECORDS, seed=5).z
    assert len(np.unique(by_name[:, 1])) == len(RECORDS)
    assert asker("decode", by_name, records=True).x == RECORDS
    x = asker("decode", by_name).x
    assert np.array_equal(asker("encode", x, seed=5).z, by_name)
    assert not np.array_equal(asker("encode", RECORDS, seed=6).z, by_name)
    with pytest.raises(RefusedError, match="seed has no use"):
        asker("encode", [[0.1, 0.2]], seed=5, model="tiny")


def test_samples_in_records(of_tables: Make) -> None:
    asker = of_tables()
    drawn = asker("sample", 50, seed=3, records=True)
    assert drawn.seed == 3
    assert drawn.log_prob.dtype == np.float64
    assert np.array_equal(asker("log_prob", drawn.x), drawn.log_prob)
    x = asker("sample", 50, seed=3).x
    assert [record["amount"] for record in drawn.x] == x[:, 0].tolist()
    assert asker("sample", 2, seed=3, temperature=1e-9, records=True).x[0]["count"] == 0.5
    assert asker("sample", 0, records=True).x == []
    assert asker("sample", 1, seed=2**64 - 1, records=True).seed == 2**64 - 1
    assert asker("sample", 1, records=True).seed != asker("sample", 1, records=True).seed
    for question in (("sample", 1), ("decode", [[0.0, 0.0]])):
        with pytest.raises(RefusedError, match="records is not known here"):
            asker(*question, model="tiny", records=True)


def test_paths_between_rows_by_name(of_tables: Make) -> None:
    asker = of_tables()
    end = RECORD | {"count": 1, "seen": date(2024, 3, 4)}
    by_name = asker("interpolate", RECORD, end, 5)
    assert by_name.x[0] == RECORD
    assert by_name.x[1]["seen"] == "2024-03-01"
    by_array = asker("interpolate", X, [0.1, 1, np.nan, X[3] + 4 * DAY], 5)
    assert np.isnan(by_array.x[-1, 2])
    by_array = asker("interpolate", X, [0.1, 1, 1, X[3] + 4 * DAY], 5)
    assert np.array_equal(by_array.z, by_name.z)
    assert by_array.x.dtype == by_name.log_prob.dtype == np.float64
    # nothing has told yet that it is a table
    assert of_tables()("interpolate", X, X, 2).x.dtype == np.float64
    path = of_tables(model="tiny")("interpolate", [0.1, 0], [1, 1], 3)
    assert path.x.dtype == path.z.dtype == path.log_prob.dtype == np.float32


def test_contexts_go_with_their_rows(of_tables: Make) -> None:
    asker = of_tables(model="conditional", rows_per_request=7)
    means = 1e9 + AMOUNTS[:, None]
    rows = [record | {"amount": mean} for record, (mean,) in zip(RECORDS, means, strict=True)]
    assert np.abs(asker("encode", rows, means).z[:, 0]).max() == 0
    assert asker("encode", rows[:1], means[0]).z[0, 0] == 0
    with pytest.raises(RefusedError, match="context"):
        asker("encode", rows, means[:-1])
    z = np.zeros((40, 4))
    x = asker("decode", z, means, records=True).x
    assert [record["amount"] for record in x] == means[:, 0].tolist()
    drawn = asker("sample", 2, seed=0, context=means[:2], records=True)
    plain = asker("sample", 2, seed=0, context=[0.0], records=True)
    assert drawn.x[0]["amount"] == plain.x[0]["amount"] + means[0, 0]


def test_data_frames_of_numbers_to_a_flow_are_arrays(of_tables: Make) -> None:
    numbers = {"x": np.array([0.1, 0.2]), "y": np.array([0.3, 0.4])}
    expected = of_tables(model="tiny")("encode", np.stack(list(numbers.values()), 1))
    for frame in (Pandas(numbers), Polars(numbers), pa.table(numbers)):
        found = of_tables(model="tiny")("encode", frame)
        assert np.array_equal(found.z, expected.z)
        assert found.z.dtype == np.float32
    with pytest.raises(RefusedError, match="tiny is no model of typed columns"):
        of_tables(model="tiny")("encode", [{"x": 0.1, "y": 0.3}])


def test_no_rows_by_name(of_tables: Make) -> None:
    asker = of_tables()
    none: dict[str, list[Any]] = {name: [] for name in RECORD}
    empties: list[Any] = [[], none, pa.table(columns()).slice(0, 0)]
    for empty in empties:
        assert asker("log_prob", empty).shape == (0,)
        assert len(asker("encode", empty).z) == 0
    assert asker("decode", np.empty((0, 4)), records=True).x == []


def test_what_the_server_says_of_names_is_passed_on(of_tables: Make) -> None:
    with pytest.raises(RefusedError, match=r"lacks 'amount', 'count'.* has 'amont'"):
        of_tables()("log_prob", [{"amont": 1, "country": "DE", "seen": "2024-02-29"}])
    with pytest.raises(RefusedError, match="dequantize"):
        of_tables()("log_prob", [RECORD], dequantize=2)


@pytest.mark.parametrize("value", [2**24 + 1, 1 / 3, 2.0**53 - 1, 1e-300])
def test_numbers_of_tables_lose_no_digit(of_tables: Make, value: float) -> None:
    asker = of_tables()
    for x in ([[value, *X[1:]]], [RECORD | {"amount": value}]):
        z, scores = asker("encode", x)
        assert z[0, 0] == value
        assert scores.dtype == asker("log_prob", x).dtype == np.float64
        assert asker("decode", z).x.tolist() == [[value, *X[1:]]]
        assert asker("decode", z, records=True).x == [RECORD | {"amount": value}]
