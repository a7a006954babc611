"""/score: p-values and decisions as their definitions have them, in every format."""

import io
import math
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.conformal import Calibration, benjamini_hochberg, tie_breakers
from service.operations.detectors import operations, reasons
from tests.helpers.detectors import SCORE, SCORES
from tests.helpers.http import ARROW, NPY, assert_problem, metric, to_npy
from tests.helpers.tables import CSV, FORMATS, JSON, PARQUET, ask_table, read_answer
from tests.helpers.typed import DAY, FIRST_DAY

NAMES = ("amount", "count", "country", "seen")
TABLE: dict[str, list[Any]] = {
    "amount": [1.5, 0.0, -0.5, 2.0],
    "count": [0.3, 0.0, 0.1, 0.0],
    "country": ["FR", "DE", None, "DE"],
    "seen": ["2024-01-11", "2024-01-01", "2024-01-01", "2024-01-03"],
}
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
X = [
    [1.5, 0.3, 1, FIRST_DAY + 10 * DAY],
    [0.0, 0.0, 0, FIRST_DAY],
    [-0.5, 0.1, None, FIRST_DAY],
    [2.0, 0.0, 0, FIRST_DAY + 2 * DAY],
]
EXPECTED = [SCORE, 0.0, 0.5 + 0.5 + 6.0, 2.02]
"""The scores of these rows."""

OUTPUTS = ("score", "p_value", "anomaly", "log_prob")


def ask(client: TestClient, model: str = "detector", **body: Any) -> dict[str, Any]:
    answer = client.post("/score", json={"model": model, **body})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def refused(client: TestClient, words: str, model: str = "detector", **body: Any) -> None:
    assert_problem(client.post("/score", json={"model": model, **body}), 422, words)


def p_of(scores: list[float], calibration: list[float] = SCORES) -> list[float]:
    m = len(calibration)
    return [(1 + sum(c >= s for c in calibration)) / (m + 1) for s in scores]


def test_an_answer_is_what_its_definitions_say(detectors: TestClient) -> None:
    said = ask(detectors, rows=RECORDS)
    assert said["score"] == pytest.approx(EXPECTED, rel=1e-12)
    assert said["log_prob"] == [-s for s in said["score"]]
    assert said["p_value"] == p_of(said["score"])
    assert said["anomaly"] == [p <= 0.05 for p in said["p_value"]] == [True, False, True, False]
    assert said["alpha"] == 0.05
    assert list(said) == ["model", "version", *OUTPUTS, "alpha"]
    assert ask(detectors, x=X) == said == ask(detectors, columns=TABLE)
    assert detectors.post("/log_prob", json={"model": "detector", "x": X}).json() == {
        "model": "detector",
        "version": 1,
        "log_prob": said["log_prob"],
    }


def test_every_format_has_the_same_answer(detectors: TestClient) -> None:
    said = ask(detectors, rows=RECORDS, seed=5, alpha=0.6)
    for kind in FORMATS:
        for accept in (CSV, ARROW, PARQUET):
            answer = ask_table(
                detectors, "/score", TABLE, kind, "detector", accept, seed=5, alpha=0.6
            )
            columns = read_answer(answer)
            if accept == CSV:
                read = {name: list(map(float, columns[name])) for name in ("score", "p_value")}
                assert columns["anomaly"] == [str(each).lower() for each in said["anomaly"]]
            else:
                read = columns
                assert columns["anomaly"] == said["anomaly"]
            assert read["score"] == said["score"]
            assert read["p_value"] == said["p_value"]
            if accept != ARROW:
                assert answer.headers["x-bijecta-alpha"] == "0.6"
    body, headers = to_npy(np.array(X, np.float64)), {"content-type": NPY}
    for name in OUTPUTS:
        params = {"model": "detector", "output": name, "seed": 5, "alpha": 0.6}
        answer = detectors.post("/score", params=params, content=body, headers=headers)
        assert np.load(io.BytesIO(answer.content)).tolist() == said[name]
        assert answer.headers["x-bijecta-alpha"] == "0.6"
        assert answer.headers["x-bijecta-seed"] == "5"
    params.pop("output")
    answer = detectors.post("/score", params=params, content=body, headers=headers)
    assert np.load(io.BytesIO(answer.content)).tolist() == said["score"]


def rows_of_amounts(amounts: list[float]) -> list[dict[str, Any]]:
    """Rows whose scores are these numbers."""
    return [{**RECORDS[1], "amount": amount} for amount in amounts]


AMOUNTS = [0.25 * (i % 20) for i in range(60)]
"""Scores that are ties of the calibration's."""


def test_a_seed_draws_ties_by_the_number_of_the_row(detectors: TestClient) -> None:
    scores = np.array(AMOUNTS)
    said = ask(detectors, rows=rows_of_amounts(AMOUNTS), seed=9)
    calibration = Calibration.of(np.array(SCORES))
    drawn = calibration.p_values(scores, tie_breakers(9, len(scores)))
    assert said["p_value"] == drawn.tolist()
    assert said["seed"] == 9
    first = ask(detectors, rows=rows_of_amounts(AMOUNTS[:7]), seed=9)
    assert first["p_value"] == said["p_value"][:7]
    without = ask(detectors, rows=rows_of_amounts(AMOUNTS))
    assert "seed" not in without
    assert all(a <= b for a, b in zip(said["p_value"], without["p_value"], strict=True))


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.9])
def test_a_rate_of_false_discoveries_decides_over_the_request(
    detectors: TestClient, rate: float
) -> None:
    amounts = [*AMOUNTS[:20], *[9.0] * 15]
    said = ask(detectors, rows=rows_of_amounts(amounts), fdr=rate, seed=1)
    found = benjamini_hochberg(np.array(said["p_value"]), rate)
    assert said["anomaly"] == found.tolist()
    assert said["fdr"] == rate
    assert "alpha" not in said
    # one of these p-values alone is not small enough
    alone = ask(detectors, rows=rows_of_amounts([9.0]), fdr=0.01)
    assert alone["anomaly"] == [False]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"alpha": 0.1, "fdr": 0.1}, "alpha and fdr: expected one of them"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": 1}, "alpha"),
        ({"fdr": -0.5}, "fdr"),
        ({"fdr": "0.1"}, "fdr"),
        ({"alpha": True}, "alpha"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"reasons": 0}, "reasons"),
        ({"reasons": True}, "reasons"),
        ({"threshold": 1}, "threshold is not known here"),
        ({"context": [[1]]}, "this model is conditional on nothing"),
        ({"rows": [{"amount": 1}]}, "lacks 'count'"),
        ({"rows": RECORDS, "x": X}, "expected one of x, rows"),
        ({"rows": [{**RECORDS[0], "amount": "a"}]}, "row 0, column 'amount'"),
        ({"x": [[1, 2, 3]]}, "x: expected N × 4 numbers"),
        ({"x": [["a", 0, 0, 0]]}, "x: expected an array of numbers"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    detectors: TestClient, body: dict[str, Any], words: str
) -> None:
    refused(
        detectors, words, **({"rows": RECORDS} if not {"rows", "x"} & body.keys() else {}) | body
    )


@pytest.mark.parametrize("rate", ["nan", "inf", "1e400", "", "0"])
def test_rates_of_a_query_string_are_rates(detectors: TestClient, rate: str) -> None:
    answer = detectors.post(
        "/score",
        params={"model": "detector", "fdr": rate},
        content=to_npy(np.zeros((1, 4))),
        headers={"content-type": NPY},
    )
    assert_problem(answer, 422, "fdr")


@pytest.mark.parametrize(
    ("model", "endpoint", "words"),
    [
        ("tiny", "score", "tiny is a flow, which has no /score: it answers /log_prob, /encode"),
        ("typed", "score", "typed is a table, which has no /score: it answers /log_prob"),
        ("detector", "encode", "is a detector, which has no /encode: it answers /score, /log_prob"),
        ("uncalibrated", "score", "`bijecta calibrate STORE/uncalibrated ROWS` makes a version"),
    ],
)
def test_models_refuse_what_they_are_not(
    detectors: TestClient, model: str, endpoint: str, words: str
) -> None:
    answer = detectors.post(f"/{endpoint}", json={"model": model, "x": [[0, 0, 0, 0]]})
    assert_problem(answer, 422, words)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("decode", {"z": [[0, 0, 0, 0]]}),
        ("sample", {"n": 2}),
        ("interpolate", {"start": [0, 0, 0, 0], "end": [0, 0, 0, 0]}),
    ],
)
def test_detectors_have_no_latents(
    detectors: TestClient, endpoint: str, body: dict[str, Any]
) -> None:
    answer = detectors.post(f"/{endpoint}", json={"model": "detector", **body})
    assert_problem(answer, 422, f"which has no /{endpoint}")


def test_without_a_calibration_there_is_a_density(detectors: TestClient) -> None:
    body = {"model": "uncalibrated", "rows": RECORDS}
    assert detectors.post("/log_prob", json=body).json()["log_prob"][0] == -SCORE
    answer = detectors.post("/log_prob", json=body | {"quantile": True})
    assert_problem(answer, 422, "has no quantiles of log_prob")


def test_rows_outside_the_support_have_the_smallest_p_value(detectors: TestClient) -> None:
    x = [X[1], [0.0, 1.5, 0, FIRST_DAY], [0.0, 0.0, 7, FIRST_DAY], [9.0, 0.0, 0, FIRST_DAY]]
    said = ask(detectors, x=x)
    assert said["score"] == [0.0, None, None, 9.0]
    assert said["log_prob"][1:3] == [None, None]
    assert said["outside_support"] == [1, 2]
    assert said["p_value"] == [1.0, 0.05, 0.05, 0.05]
    assert said["anomaly"] == [False, True, True, True]
    drawn = ask(detectors, x=x, seed=2)["p_value"]
    assert all(p <= 0.05 for p in drawn[1:])
    answer = detectors.post(
        "/score?model=detector", content=to_npy(np.array(x)), headers={"content-type": NPY}
    )
    assert np.load(io.BytesIO(answer.content)).tolist() == [0.0, math.inf, math.inf, 9.0]
    assert answer.headers["x-bijecta-outside-support"] == "1,2"


def test_rows_without_an_answer_leave_the_others_alone(detectors: TestClient) -> None:
    rows = [RECORDS[0], {**RECORDS[1], "amount": "a"}, RECORDS[1], RECORDS[2]]
    refused(detectors, "row 1, column 'amount': expected a finite number", rows=rows)
    rules: list[dict[str, Any]] = [{"alpha": 0.3}, {"fdr": 0.5}]
    for rule in rules:
        said = ask(detectors, rows=rows, partial=True, seed=4, reasons=2, **rule)
        whole = ask(detectors, rows=[RECORDS[0], RECORDS[0], *rows[2:]], seed=4, reasons=2, **rule)
        assert said["score"] == [SCORE, None, *whole["score"][2:]]
        assert said["p_value"] == [whole["p_value"][0], None, *whole["p_value"][2:]]
        assert said["anomaly"][1] is False
        assert said["reasons"] == [whole["reasons"][0], None, *whole["reasons"][2:]]
        assert [error["row"] for error in said["errors"]] == [1]
    # they are no hypotheses: of the others the procedure decides as if they were alone
    both = ask(detectors, rows=rows_of_amounts([9.0] * 2), fdr=0.06)
    assert both["anomaly"] == [True] * 2
    bad = {**RECORDS[1], "amount": "a"}
    mixed = [*rows_of_amounts([9.0]), *[bad] * 20, *rows_of_amounts([9.0])]
    said = ask(detectors, rows=mixed, fdr=0.06, partial=True)
    assert said["anomaly"] == [True, *[False] * 20, True]


def test_a_row_that_the_graph_cannot_score_is_refused(detectors: TestClient) -> None:
    x = [X[1], [1e308, 0.0, 0, FIRST_DAY]]
    before = metric(detectors, "bijecta_nonfinite_outputs_total", model="arrays")
    far = [[[1e308] * 3] * 2, [[0] * 3] * 2]
    refused(detectors, "row 0 has no finite answer", model="arrays", x=far)
    said = ask(detectors, model="arrays", x=far, partial=True)
    assert said["score"] == [None, 0.0]
    assert said["anomaly"] == [False, False]
    assert "outside_support" not in said
    assert metric(detectors, "bijecta_nonfinite_outputs_total", model="arrays") == before + 2
    assert ask(detectors, x=x)["anomaly"] == [False, True]


def test_classes_of_the_context_are_compared_within(detectors: TestClient) -> None:
    rows = rows_of_amounts([5.0, 5.0, 8.0])
    said = ask(detectors, model="grouped", rows=rows, context=[["a"], ["b"], ["b"]])
    assert said["score"] == [5.0, 4.0, 7.0]  # b moves the amount
    of_a, of_b = [float(i) for i in range(1, 10)], [float(i) for i in range(4, 8)]
    assert said["p_value"] == [*p_of([5.0], of_a), *p_of([4.0, 7.0], of_b)]
    table = {**{k: [v[1]] for k, v in TABLE.items()}, "amount": [8.0], "group": ["b"]}
    as_csv = read_answer(ask_table(detectors, "/score", table, CSV, "grouped", CSV))
    assert as_csv["p_value"] == [str(said["p_value"][2])]
    refused(detectors, "context is missing", model="grouped", rows=rows)
    refused(detectors, "context: row 0", model="grouped", rows=rows[:1], context=[["c"]])


def test_rows_are_watched_and_unknown_classes_told(detectors: TestClient) -> None:
    def rows() -> int:
        watched: int = detectors.get("/models/detector/watch").json()["rows"]
        return watched

    before, known = rows(), {"model": "detector", "rows": RECORDS}
    ask(detectors, rows=RECORDS)
    detectors.post("/log_prob", json=known)
    assert rows() == before + len(RECORDS)  # a log-density alone is no score
    body = known | {"rows": [{**RECORDS[0], "country": "IT"}]}
    for endpoint in ("/score", "/log_prob"):
        (told,) = detectors.post(endpoint, json=body).json()["unknown_classes"]
        assert (told["column"], told["rows"]) == ("country", [0])


def test_arrays_are_scored_as_they_are(detectors: TestClient) -> None:
    x = np.arange(12.0).reshape(2, 2, 3)
    said = ask(detectors, model="arrays", x=x.tolist())
    assert said["score"] == [15.0, 51.0]
    answer = detectors.post(
        "/score?model=arrays", content=to_npy(x.astype(np.float32)), headers={"content-type": NPY}
    )
    assert np.load(io.BytesIO(answer.content)).tolist() == said["score"]
    refused(detectors, "arrays is no model of typed columns", model="arrays", rows=RECORDS)
    refused(
        detectors,
        "column [1, 2] holds no finite float64 number",
        model="arrays",
        x=[[[0, 0, 0], [0, 0, None]]],
    )
    refused(detectors, "x: expected N × 2 × 3 numbers", model="arrays", x=[[0] * 6])


@pytest.mark.parametrize(("model", "shape"), [("detector", (4,)), ("arrays", (2, 3))])
@pytest.mark.parametrize("rule", [{}, {"fdr": 0.1}, {"reasons": 2}, {"seed": 1}])
def test_no_rows_have_an_answer_of_none(
    detectors: TestClient, model: str, shape: tuple[int, ...], rule: dict[str, Any]
) -> None:
    said = ask(detectors, model=model, x=[], **rule)
    assert all(said[name] == [] for name in OUTPUTS)
    if "reasons" in rule:
        assert said["reasons"] == []
        return
    body = to_npy(np.zeros((0, *shape)))
    answer = detectors.post(
        "/score", params={"model": model, **rule}, content=body, headers={"content-type": NPY}
    )
    assert np.load(io.BytesIO(answer.content)).shape == (0,)


def test_many_rows_are_answered_alike_by_threads(
    detectors: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[str] = []
    works = (Calibration, "p_values"), (operations, "benjamini_hochberg"), (reasons, "_named")
    for owner, name in works:
        work = getattr(owner, name)

        def note(*arguments: Any, work: Any = work) -> Any:
            workers.append(threading.current_thread().name.partition("_")[0])
            return work(*arguments)

        monkeypatch.setattr(owner, name, note)
    # above what the event loop does itself
    x = np.tile(np.array([X[0], X[1], X[3]]), (11_000, 1))
    for output in ("score", "p_value", "anomaly"):
        answer = detectors.post(
            f"/score?model=detector&output={output}&fdr=0.2",
            content=to_npy(x),
            headers={"content-type": NPY},
        )
        values = np.load(io.BytesIO(answer.content)).reshape(-1, 3)
        assert (values == values[0]).all()
        assert len(values) == 11_000
    ask(detectors, columns={k: v * 2000 for k, v in TABLE.items()}, reasons=1)
    assert workers == ["work"] * 11


def test_the_protocol_has_a_model_for_scores(detectors: TestClient) -> None:
    metadata = detectors.get("/v2/models/detector.score").json()
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1, 4]}]
    kinds = {each["name"]: each["datatype"] for each in metadata["outputs"]}
    floats = dict.fromkeys(("score", "p_value", "log_prob"), "FP64")
    assert kinds == floats | {"anomaly": "BOOL"}
    said = ask(detectors, rows=RECORDS, seed=5, alpha=0.6, reasons=1)
    flat = [value for row in np.array(X, np.float64).tolist() for value in row]
    content: dict[str, Any] = {
        "inputs": [{"name": "x", "shape": [4, 4], "datatype": "FP64", "data": flat}],
        "parameters": {"seed": 5, "alpha": 0.6},
    }
    # a missing value is NaN, which only binary has
    content["inputs"][0]["data"] = [0.0 if v != v else v for v in flat]
    answer = infer(detectors, content)
    rows = [*said["score"][:2], 0.5 + 0.5, said["score"][3]]
    assert answer["score"] == rows
    assert answer["p_value"][:2] == said["p_value"][:2]
    alone = infer(detectors, {"inputs": content["inputs"]}, "detector")
    assert alone == {"log_prob": [-s for s in rows]}
    binary = np.array(X, np.float64).tobytes()
    raw = detectors.post(
        "/v2/models/detector.score/infer",
        content=binary,
        headers={"Inference-Header-Content-Length": "0"},
    )
    assert raw.status_code == 200
    for parameters, words in [
        ({"alpha": 0.1, "fdr": 0.1}, "expected one of them"),
        ({"alpha": 2}, "alpha"),
        ({"temperature": 0.5}, "parameter temperature has no use here"),
    ]:
        refusal = detectors.post(
            "/v2/models/detector.score/infer", json=content | {"parameters": parameters}
        )
        assert refusal.status_code == 400
        assert words in refusal.json()["error"]


def infer(
    client: TestClient, content: dict[str, Any], name: str = "detector.score"
) -> dict[str, Any]:
    answer = client.post(f"/v2/models/{name}/infer", json=content)
    assert answer.status_code == 200, answer.text
    return {output["name"]: output["data"] for output in answer.json()["outputs"]}


def test_models_of_the_protocol_are_those_that_answer(detectors: TestClient) -> None:
    listed = {each["name"] for each in detectors.post("/v2/repository/index").json()}
    assert {"detector", "detector.score", "tiny", "tiny.decode", "typed.sample"} <= listed
    assert not {"detector.decode", "tiny.score"} & listed
    told = detectors.get("/v2/models/stats").json()["model_stats"]
    assert {each["name"] for each in told} == listed
    for name, words in [
        ("detector.decode", "expected one of detector, detector.score"),
        ("tiny.score", "expected one of tiny, tiny.decode, tiny.sample"),
    ]:
        answer = detectors.get(f"/v2/models/{name}")
        assert answer.status_code == 404
        assert words in answer.json()["error"]


def test_the_documentation_shows_scores(detectors: TestClient) -> None:
    shown = detectors.get("/openapi.json").json()["paths"]["/score"]["post"]
    body = shown["requestBody"]["content"][JSON]["schema"]
    assert {"x", "rows", "columns", "alpha", "fdr", "seed", "reasons"} <= body["properties"].keys()
    answer = shown["responses"]["200"]["content"][JSON]["schema"]["properties"]
    assert {*OUTPUTS, "reasons"} <= answer.keys()
    described = detectors.get("/models/detector").json()
    assert described["kind"] == "detector"
    assert described["calibration"]["rows"] == len(SCORES)
    listed = detectors.get("/models").json()["models"]
    assert {each["name"]: each.get("kind") for each in listed}["detector"] == "detector"


def quantile_of(client: httpx.Client, **body: Any) -> Any:
    answer = client.post("/log_prob", json={**body, "quantile": True})
    assert answer.status_code == 200, answer.text
    return answer.json()["quantile"]


def test_a_quantile_is_the_share_of_held_out_rows_below(detectors: TestClient) -> None:
    # the calibration of detectors: log_prob −4.75, −3.625, −2.5, −1.375 and −0.25 at quarters
    amounts = [9.0, 4.75, 3.625, 3.0625, 0.25, 0.0]
    assert quantile_of(detectors, model="detector", rows=rows_of_amounts(amounts)) == [
        0.0,
        0.0,
        0.25,
        0.375,
        1.0,
        1.0,
    ]
    x = [[0.0, 1.5, 0, FIRST_DAY], X[1]]
    assert quantile_of(detectors, model="detector", x=x) == [0.0, 1.0]
    # of half of the rows it is 0, which is where the others begin
    assert quantile_of(detectors, model="tiny", x=[[-1, 0], [0, 0], [1, 0]]) == [0.0, 1.0, 1.0]
    assert quantile_of(detectors, model="typed", rows=[{**RECORDS[0], "amount": 0.1}]) == [0.0]
    body = to_npy(np.array([[1, 0]], np.float32))
    for accept in (NPY, ARROW, CSV):
        answer = detectors.post(
            "/log_prob?model=tiny&quantile=true&output=quantile",
            content=body,
            headers={"content-type": NPY, "accept": accept},
        )
        if accept == NPY:
            assert np.load(io.BytesIO(answer.content)).tolist() == [1.0]
        else:
            assert [float(each) for each in read_answer(answer)["quantile"]] == [1.0]


def test_quantiles_are_of_rows_as_they_came(detectors: TestClient) -> None:
    body = {"model": "tiny", "x": [[0, 0]], "quantile": True, "dequantize": 2}
    assert_problem(detectors.post("/log_prob", json=body), 422, "quantile: it is of log_prob")
    said = detectors.post("/log_prob", json={"model": "tiny", "x": [[0, 0]]}).json()
    assert "quantile" not in said
    rows = [RECORDS[1], {**RECORDS[1], "amount": "a"}]
    answer = detectors.post(
        "/log_prob",
        json={"model": "detector", "rows": rows, "quantile": True, "partial": True},
    )
    assert answer.json()["quantile"] == [1.0, None]
