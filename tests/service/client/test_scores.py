"""`score` of the client, and quantiles of log_prob: as arrays and by name, in parts and whole."""

import math
from typing import Any

import httpx
import numpy as np
import pytest

from bijecta_client import RefusedError, RowError, UnreadableError
from service.conformal import Calibration, benjamini_hochberg, tie_breakers
from tests.helpers.askers import Asker, Make
from tests.helpers.detectors import SCORES
from tests.helpers.typed import FIRST_DAY

N = 70
AMOUNTS = [0.25 * (i % 23) for i in range(N)]
X = np.array([[amount, 0.0, 0.0, FIRST_DAY] for amount in AMOUNTS])
"""Rows whose scores are these amounts, of which many are ties of the calibration's."""
COLUMNS: dict[str, list[Any]] = {
    "amount": AMOUNTS,
    "count": [0.0] * N,
    "country": ["DE"] * N,
    "seen": ["2024-01-01"] * N,
}
FORMS: dict[str, Any] = {"an array": X, "columns": COLUMNS}
CALIBRATION = Calibration.of(np.array(SCORES))


def counted(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are asked from now on."""
    paths: list[str] = []
    http: Any = asker.client._http
    build = http.build_request

    def count(method: str, url: str, **options: Any) -> Any:
        paths.append(httpx.URL(url).path)
        return build(method, url, **options)

    monkeypatch.setattr(http, "build_request", count)
    return paths


@pytest.fixture
def asker(of_tables: Make) -> Asker:
    return of_tables(model="detector", rows_per_request=16)


@pytest.mark.parametrize("form", FORMS)
def test_large_questions_go_in_parts(
    asker: Asker, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = counted(asker, monkeypatch)
    found = asker("score", FORMS[form], alpha=0.3)
    path = "/v2/models/detector.score/infer" if form == "an array" else "/score"
    assert paths == [path] * 5
    assert found.score.tolist() == AMOUNTS
    p = CALIBRATION.p_values(np.array(AMOUNTS))
    assert found.p_value.tolist() == p.tolist()
    assert found.anomaly.dtype == np.bool_
    assert found.anomaly.tolist() == (p <= 0.3).tolist()
    assert found.log_prob.tolist() == [-amount for amount in AMOUNTS]
    assert found.reasons is None
    usual = asker("score", FORMS[form])
    assert usual.anomaly.tolist() == (p <= 0.05).tolist()
    assert asker("log_prob", FORMS[form]).tolist() == found.log_prob.tolist()


@pytest.mark.parametrize("form", FORMS)
def test_quantiles_come_beside_log_prob(
    asker: Asker, form: str, tables: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"model": "detector", "x": X.tolist(), "quantile": True}
    told = tables.post("/log_prob", json=body).json()
    paths = counted(asker, monkeypatch)
    found = asker("log_prob", FORMS[form], quantile=True)
    assert len(paths) == 5
    assert found.log_prob.tolist() == told["log_prob"]
    assert found.quantile.tolist() == told["quantile"]
    assert len(set(found.quantile)) > 10


def test_quantiles_of_flows_of_rows_without_an_answer_and_of_noise(of_tables: Make) -> None:
    tiny = of_tables(model="tiny")
    found = tiny("log_prob", np.array([[-1, 0], [1, 0]], np.float32), quantile=True)
    assert (found.quantile.dtype, found.quantile.tolist()) == (np.float32, [0, 1])
    with pytest.raises(RefusedError, match="quantile: it is of log_prob without dequantize"):
        tiny("log_prob", [[0.0, 0.0]], dequantize=2, quantile=True)
    failures: list[RowError] = []
    x = {name: values[:2] for name, values in COLUMNS.items()} | {"amount": [0.25, "a"]}
    placed = of_tables(model="detector")("log_prob", x, quantile=True, failures=failures)
    assert [failure.row for failure in failures] == [1]
    assert np.isnan(placed.quantile).tolist() == [False, True]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_of_all_rows_goes_whole(
    asker: Asker, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = counted(asker, monkeypatch)
    found = asker("score", FORMS[form], fdr=0.4, seed=3)
    assert len(paths) == 1
    p = CALIBRATION.p_values(np.array(AMOUNTS), tie_breakers(3, N))
    assert found.p_value.tolist() == p.tolist()
    assert found.anomaly.tolist() == benjamini_hochberg(p, 0.4).tolist()
    assert asker("score", FORMS[form], seed=3).p_value.tolist() == p.tolist()
    assert asker("score", FORMS[form], fdr=0.4).anomaly.shape == (N,)
    assert len(paths) == 3
    with pytest.raises(RefusedError, match="more than the 65536 allowed"):
        asker("score", np.tile(X, (1000, 1)), fdr=0.1)
    assert len(paths) == 4


@pytest.mark.parametrize("form", FORMS)
def test_reasons_go_with_their_rows(
    asker: Asker, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bijecta_client.questions.REASONED_ROWS", 9)
    paths = counted(asker, monkeypatch)
    found = asker("score", FORMS[form], reasons=2)
    assert len(paths) == 8
    assert found.reasons is not None
    assert len(found.reasons) == N
    for amount, reasons in zip(AMOUNTS, found.reasons, strict=True):
        expected = {"column": "amount", "value": amount, "expected": [0.0, 1.0], "share": 1.0}
        assert reasons == [expected] * (amount > 0)


def test_rows_without_an_answer_are_told(asker: Asker) -> None:
    x: Any = {name: values[:20] for name, values in COLUMNS.items()}
    x["amount"] = [*AMOUNTS[:17], "a", *AMOUNTS[18:20]]
    with pytest.raises(RefusedError) as caught:
        asker("score", x)
    assert caught.value.extra["row"] == 17
    failures: list[RowError] = []
    found = asker("score", x, failures=failures, reasons=1)
    assert [failure.row for failure in failures] == [17]
    assert np.flatnonzero(np.isnan(found.score)).tolist() == [17]
    assert np.isnan(found.p_value[17])
    assert not found.anomaly[17]
    assert found.reasons is not None
    assert found.reasons[17] is None


def test_rows_outside_the_support_are_infinitely_far(asker: Asker) -> None:
    x = [[0.0, 0.0, 7.0, FIRST_DAY], [math.nan, 0.0, 1.0, FIRST_DAY], X[3]]
    found = asker("score", x)
    assert found.score.tolist() == [math.inf, math.inf, AMOUNTS[3]]
    assert found.log_prob.tolist() == [-math.inf, -math.inf, -AMOUNTS[3]]
    assert found.anomaly.tolist() == [True, True, False]


def test_contexts_and_arrays(of_tables: Make) -> None:
    grouped = of_tables(model="grouped", rows_per_request=16)
    context = [["a"], ["b"]] * (N // 2)
    by_array, by_name = (grouped("score", form, context) for form in FORMS.values())
    assert by_array.score.tolist() == by_name.score.tolist()
    moved = [abs(amount - i % 2) for i, amount in enumerate(AMOUNTS)]
    assert by_array.score.tolist() == moved
    images = of_tables(model="arrays")("score", np.ones((3, 2, 3), np.float32), reasons=1)
    assert images.score.tolist() == [6.0] * 3
    assert images.reasons[0][0]["column"] == [0, 0]
    assert of_tables(model="arrays")("score", np.ones((0, 2, 3))).score.shape == (0,)


def test_refusals_are_passed_on(of_tables: Make) -> None:
    with pytest.raises(RefusedError, match="expected one of them"):
        of_tables(model="detector")("score", X, alpha=0.1, fdr=0.1)
    with pytest.raises(RefusedError, match="expected one of tiny"):
        of_tables(model="tiny")("score", [[0.0, 0.0]])
    with pytest.raises(RefusedError, match="which has no /score"):
        of_tables(model="typed")("score", COLUMNS)
    with pytest.raises(RefusedError, match=r"expected one of detector, detector\.score"):
        of_tables(model="detector")("decode", [[0.0] * 4])


@pytest.mark.parametrize("reasons", [3, [1], "{", "[3]", [[]] * 2])
def test_reasons_that_are_none_are_unreadable(make: Make, reasons: Any) -> None:
    said = {"score": [1], "p_value": [0.5], "anomaly": [False], "log_prob": [-1.0]}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"model": "a", **said, "reasons": reasons})

    with pytest.raises(UnreadableError, match="reasons"):
        make("http://a", script=answer, model="a")("score", [{"amount": 1}], reasons=1)
