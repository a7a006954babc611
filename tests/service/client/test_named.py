"""Rows by name as they are sent, and what is refused before anything is."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from bijecta_client import UnreadableError, tables
from tests.helpers.askers import Asker, Make


class NAType:
    """Of pandas: it has no truth value, even of a comparison."""

    def __ne__(self, other: object) -> Any:
        return self

    __eq__ = __ne__
    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise TypeError


class NaT(datetime):
    """Of pandas: a time that is not equal to itself."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


VALUES = [
    (5, 5),
    (True, True),
    ("a", "a"),
    (None, None),
    (0.1, 0.1),
    (float("nan"), None),
    (float("-inf"), "-inf"),
    (np.int64(2**53 + 1), 2**53 + 1),
    (np.float32(0.5), 0.5),
    (np.float64("nan"), None),
    (np.bool_(False), False),
    (np.str_("b"), "b"),
    (Decimal("1.5"), 1.5),
    (Decimal("sNaN"), None),
    (Fraction(1, 4), 0.25),
    (date(2024, 2, 29), "2024-02-29"),
    (datetime(2024, 2, 29, 1, 2, 3, 4), "2024-02-29T01:02:03.000004"),
    (datetime(2024, 2, 29, tzinfo=UTC), "2024-02-29T00:00:00+00:00"),
    (time(1, 2), "01:02:00"),
    (timedelta(minutes=1), 60.0),
    (np.datetime64("2024-02-29T01:02:03.000000004"), "2024-02-29T01:02:03.000000004"),
    (np.datetime64("2024-02", "M"), "2024-02-01"),
    (np.datetime64("2024-02-29T01", "h"), "2024-02-29T01:00"),
    (np.datetime64("1970-01-02T03:04:05", "ps"), "1970-01-02T03:04:05.000000000"),
    (np.datetime64("NaT"), None),
    (np.timedelta64(1500, "ms"), 1.5),
    (NaT(2024, 1, 1), None),
    (NAType(), None),
]


@pytest.mark.parametrize(("value", "written"), VALUES, ids=lambda value: repr(type(value)))
def test_values_as_json_has_them(value: Any, written: Any) -> None:
    plain = tables.plain(value)
    assert plain == written
    assert type(plain) is type(written)


class Answering:
    """Answers rows by name as a table does, in which no row has a density; keeps the bodies."""

    def __init__(self, **change: Any) -> None:
        self.change = change
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(orjson.loads(request.content) if request.content else {})
        n = len(next(iter(self.bodies[-1].get("columns", {"": []}).values())))
        answer = {"z": [[0.0]] * n, "log_prob": [None] * n}
        return httpx.Response(200, json={**answer, **self.change})


Told = Callable[..., tuple[Asker, Answering]]


@pytest.fixture
def told(make: Make) -> Told:
    def start(most: int = 16_384, **change: Any) -> tuple[Asker, Answering]:
        server = Answering(**change)
        return make("http://a", script=server, model="t", rows_per_request=most), server

    return start


def test_they_are_sent_as_columns(told: Told) -> None:
    asker, server = told()
    rows: deque[dict[str, Any]] = deque([{"a": 1.5, "b": None}, {"b": "x", "a": np.float64("nan")}])
    assert asker("log_prob", rows, [[1, "c"]] * 2, version=3).tolist() == [-np.inf] * 2
    asker("encode", rows, seed=4, failures=[])
    columns = {"a": [1.5, None], "b": [None, "x"]}
    assert server.bodies == [
        {"model": "t", "version": 3, "columns": columns, "context": [[1, "c"]] * 2},
        {"model": "t", "seed": 4, "partial": True, "columns": columns},
    ]


def test_parts_have_so_many_rows_and_values(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    asker, server = told(4)
    assert len(asker("log_prob", {"a": range(10), "b": range(10)})) == 10
    assert [body["columns"]["a"] for body in server.bodies] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    monkeypatch.setattr(tables, "MOST_VALUES", 6)
    asker, server = told()
    asker("log_prob", {"a": range(5), "b": range(5)})
    asker("log_prob", {"a": range(5)}, [[0], [1], [2], [3], [4]])
    asker("encode", {"a": range(50)}, seed=1)
    assert [len(body["columns"]["a"]) for body in server.bodies] == [3, 2, 3, 2, 50]


@pytest.mark.parametrize(
    ("limit", "most", "value"),
    [
        ("MOST_COLONS", 30, "2024-02-29T01:02:03"),
        ("MOST_MARKS", 40, "a, b, c"),
        ("MOST_BYTES", 300, "long" * 10),
    ],
)
def test_text_counts_as_a_server_counts_it(
    told: Told, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, value: str
) -> None:
    monkeypatch.setattr(tables, limit, most)
    asker, server = told()
    assert len(asker("log_prob", {"a": [value] * 25})) == 25
    assert len(server.bodies) > 1
    assert sum(len(body["columns"]["a"]) for body in server.bodies) == 25
    asker("log_prob", {"a": [value * 100]})  # one row cannot be less


def lengthy(lengths: list[int]) -> Callable[[int, int], bytes]:
    return lambda start, stop: b"x" * sum(lengths[start:stop])


def test_a_row_that_is_too_much_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_BYTES", 10)
    body = lengthy([1, 20, 1, 6, 6])
    assert [n for _, n, _ in islice(tables.parts(5, 1, 99, body), 9)] == [1] * 5
    assert [n for _, n, _ in tables.parts(5, 1, None, body)] == [5]


def test_parts_behind_a_large_row_are_as_large_as_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "MOST_BYTES", 1000)
    body = lengthy([1] * 300 + [2000] + [1] * 2000)
    sizes = [n for _, n, _ in tables.parts(2301, 1, 500, body)]
    assert sum(sizes) == 2301
    assert max(sizes) == sizes[-2] == 500
    assert len(sizes) < 30
    # and rows that are all large cost few bodies that are thrown away
    made = []
    heavy = lengthy([67] * 500)  # of 15 there are too many, and 7 fill less than half

    def counted(start: int, stop: int) -> bytes:
        made.append(stop - start)
        return heavy(start, stop)

    sent = sum(n for _, n, _ in tables.parts(500, 1, 500, counted))
    assert sum(made) < 4 * sent


class Frame:
    """Columns that have numbers as their names."""

    def to_pydict(self) -> dict[Any, Any]:
        return {0: [1]}


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "other names": (
        [{"a": 1, "b": 2}, {"a": 1, "B": 2}],
        ValueError,
        "x: row 1 has other names than row 0: it lacks 'b', and has 'B'",
    ),
    "fewer names": ([{"a": 1, "b": 2}, {"a": 1}], ValueError, "row 1 .* lacks 'b', and has none"),
    "no row": ([{"a": 1}, 5], TypeError, "row 1: expected values by name.* got int"),
    "lengths": ({"a": [1, 2], "b": [1]}, ValueError, "'a' has 2 values, and 'b' 1"),
    "no column": ({"a": 5}, TypeError, "column 'a': expected a list of its values, got 5"),
    "text": ({"a": "DE"}, TypeError, "column 'a': expected a list of its values, got 'DE'"),
    "no value": ({"a": [1, [2]]}, TypeError, "column 'a', row 1: expected a number.* got list"),
    "a matrix": ({"a": np.zeros((2, 2))}, TypeError, "column 'a', row 0: .* got ndarray"),
    "bytes": ([{"a": b"DE"}], TypeError, "column 'a', row 0: .* got bytes"),
    "no name": ([{1: 5}], TypeError, "column 1: expected text as its name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_row_is_refused_before_anything_is_sent(told: Told, case: str) -> None:
    x, error, words = WRONG[case]
    asker, server = told()
    for question in ("log_prob", "encode"):
        with pytest.raises(error, match=words):
            asker(question, x)
    assert server.bodies == []


def test_names_of_a_frame_are_text(told: Told) -> None:
    asker, server = told(kind="table")
    with pytest.raises(TypeError, match="column 0: expected text"):
        asker("log_prob", Frame())
    # what kind of model it is, is asked once
    with pytest.raises(TypeError, match="column 0: expected text"):
        asker("log_prob", Frame())
    assert server.bodies == [{}]


@pytest.mark.parametrize(
    "change",
    [
        {"log_prob": [1.0, 2.0]},
        {"log_prob": 1.0},
        {"log_prob": ["a"]},
        {"log_prob": None},
        {"errors": [{}]},
        {"errors": 5},
        {"errors": [{"row": 7}]},
        {"errors": [], "error_count": 2, "outside_support": [9]},
    ],
)
def test_answers_that_are_none(told: Told, change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableError):
        told(**change)[0]("log_prob", [{"a": 1}], failures=[])


def test_records_that_are_none(told: Told) -> None:
    wrong: list[Any] = [[1], None, [], [{}, {}]]
    for rows in wrong:
        asker, _ = told(rows=rows, log_prob=[0.0])
        for question in (("decode", [[0.0]]), ("sample", 1)):
            with pytest.raises(UnreadableError):
                asker(*question, records=True)
