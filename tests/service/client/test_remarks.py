"""What a client is told of single rows: failures on request, and warnings of inexact rows."""

import asyncio
import copy
import json
import math
import pickle
import warnings
from typing import Any

import httpx
import numpy as np
import pytest

from bijecta_client import (
    AsyncClient,
    Client,
    InexactRowsWarning,
    RefusedError,
    RowError,
    UnfamiliarValuesWarning,
    UnreadableError,
)
from bijecta_client.remarks import NOT_LISTED, inexact_rows, row_errors, unfamiliar, warn
from tests.helpers.askers import Make
from tests.helpers.http import MOONS

ROWS = MOONS[:9].copy()
ROWS[[2, 7]] = 1e38


@pytest.mark.parametrize("rows_per_request", [100, 4])
def test_failures_are_collected_and_the_other_rows_answered(
    real: Make, rows_per_request: int
) -> None:
    asker = real(model="moons-maf", rows_per_request=rows_per_request)
    with pytest.raises(RefusedError) as caught:
        asker("encode", ROWS)
    assert (caught.value.extra["row"], caught.value.extra["rows"][0]) == (2, 2)
    with pytest.raises(RefusedError) as caught:
        asker("encode", ROWS[[0, 1, 3, 4, 5, 2, 7]])
    extra = caught.value.extra
    assert extra["rows"] == [error["row"] for error in extra["errors"]] == [5, 6]
    others = [0, 1, 3, 4, 5, 6, 8]
    alone = asker("encode", ROWS[others])
    for name in ("log_prob", "encode"):
        failures: list[RowError] = []
        answer = asker(name, ROWS, failures=failures)
        log_prob = answer if name == "log_prob" else answer.log_prob
        assert [(f.row, f.reason) for f in failures] == [
            (2, "non-finite-output"),
            (7, "non-finite-output"),
        ]
        assert np.flatnonzero(np.isnan(log_prob)).tolist() == [2, 7]
        np.testing.assert_allclose(log_prob[others], alone.log_prob, rtol=1e-5, atol=1e-5)
    z = np.nan_to_num(answer.z)
    none: list[RowError] = []
    assert asker("decode", z[others], failures=none).x.shape == (7, 2)
    assert none == []


def test_inexact_rows_are_warned_of(real: Make) -> None:
    asker = real(model="moons-maf", rows_per_request=3)
    rows = MOONS[:5].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asker("encode", rows)
    rows[4] += 1e6
    with pytest.warns(InexactRowsWarning) as caught:
        z, _ = asker("encode", rows)
    (warning,) = [w.message for w in caught if isinstance(w.message, InexactRowsWarning)]
    assert warning.rows == [4]
    with pytest.warns(InexactRowsWarning):
        asker("decode", z)
    with pytest.warns(InexactRowsWarning):
        asker("interpolate", rows[0], rows[4], 3)


def test_no_rows_are_asked_for_and_answered(real: Make) -> None:
    asker = real(model="moons-maf")
    assert asker("log_prob", np.empty((0, 2))).shape == (0,)
    assert asker("log_prob", []).shape == (0,)
    assert asker("encode", np.empty((0, 2))).z.shape == (0, 2)
    assert asker("decode", np.empty((0, 2))).x.shape == (0, 2)
    assert asker("sample", 0).x.shape == (0, 2)


def test_the_manifest_names_the_columns(real: Make, client: httpx.Client) -> None:
    asker = real(model="moons-maf")
    assert asker("model")["columns"] == ["x", "y"]
    listed = {model["name"]: model["columns"] for model in asker("models")["models"]}
    assert listed["moons-maf"] == ["x", "y"]
    assert listed["digits-maf"] is None


def test_rows_that_are_not_listed_are_failures_too() -> None:
    said = {"errors": json.dumps([{"row": 1, "reason": "a", "detail": "b"}]), "error_count": 2}
    found = row_errors(said, np.array([0, np.nan, np.nan], np.float32), 10)
    assert found == [RowError(11, "a", "b"), RowError(12, "not-listed", NOT_LISTED)]


def test_remarks_that_are_none_are_said_to_be() -> None:
    for said in ({"errors": "{"}, {"errors": "[1]"}, {"errors": 3}, {"errors": "[" * 100_000}):
        with pytest.raises(UnreadableError):
            row_errors(said, np.zeros(1, np.float32), 0)
    for listed in (
        {"inexact_rows": "1,x"},
        {"inexact_rows": 5},
        {"inexact_rows": [None]},
        {"inexact_rows": [math.inf]},
    ):
        with pytest.raises(UnreadableError):
            inexact_rows(listed, 0)
    no_values: tuple[Any, ...] = (
        5,
        [1],
        [{"column": "a", "value": 1, "rows": [0]}],
        [{"rows": [""]}],
    )
    for values in no_values:
        with pytest.raises(UnreadableError, match="changed_constants: expected values"):
            unfamiliar({"changed_constants": values}, 0)


@pytest.mark.parametrize("rows_per_request", [100, 2])
def test_values_that_the_data_had_not_are_warned_of(of_tables: Make, rows_per_request: int) -> None:
    asker = of_tables(rows_per_request=rows_per_request)
    row = {"amount": 0.1, "count": 0.3, "country": "FR", "seen": "2024-02-29"}
    rows = [row | {"country": country} for country in ("FR", "X", "Y", None, "X")]
    with pytest.warns(UnfamiliarValuesWarning, match="'country' is 'X' in 2 rows") as caught:
        asker("log_prob", rows)
    (warning,) = [w.message for w in caught if isinstance(w.message, UnfamiliarValuesWarning)]
    assert [(one["value"], one["rows"], one["row_count"]) for one in warning.values] == [
        ("X", [1, 4], 2),
        ("Y", [2], 1),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asker("encode", rows[:1])


def test_values_of_several_parts_are_one() -> None:
    def said(column: str, value: Any, rows: list[int], **more: Any) -> dict[str, Any]:
        return {"column": column, "value": value, "rows": rows, "row_count": len(rows), **more}

    first = {
        "unknown_classes": [said("a", 1, [0])],
        "changed_constants": [said("a", "x", [1], expected=2)],
    }
    second = {
        "unknown_classes": [said("a", "1", [0]), said("a", 1, [1])],
        "changed_constants": [said("a", "y", [0], expected=2)],
    }
    with pytest.warns(UnfamiliarValuesWarning) as caught:
        warn([], [*unfamiliar(first, 0), *unfamiliar(second, 10)])
    (warning,) = [w.message for w in caught if isinstance(w.message, UnfamiliarValuesWarning)]
    assert [(one["value"], one["rows"]) for one in warning.values] == [
        (1, [0, 11]),
        ("x", [1, 10]),
        ("1", [10]),
    ]


VALUE = {"column": "a", "value": 1, "rows": [0], "row_count": 1}


@pytest.mark.parametrize("again", [copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
def test_what_is_raised_can_be_copied_and_pickled(again: Any) -> None:
    refused = RefusedError("a", 422, "b", {"row": 1})
    refused.begins_at(4)
    for one in (InexactRowsWarning([3, 4]), UnfamiliarValuesWarning([VALUE]), refused):
        other = again(one)
        assert type(other) is type(one)
        assert str(other) == str(one)
        assert vars(other) == vars(one)


def test_warnings_name_the_line_that_asked() -> None:
    said = {"log_prob": [-1.0], "inexact_rows": [0], "unknown_classes": [VALUE]}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=said))

    async def ask() -> None:
        async with AsyncClient("http://a", "m", http=httpx.AsyncClient(transport=transport)) as it:
            await it.log_prob([{"a": 1}])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Client("http://a", "m", http=httpx.Client(transport=transport)).log_prob([{"a": 1}])
        asyncio.run(ask())
    kinds = [InexactRowsWarning, UnfamiliarValuesWarning]
    assert [type(each.message) for each in caught] == kinds * 2
    assert {each.filename for each in caught} == {__file__}
