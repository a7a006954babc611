"""Holes in rows: with `partial` they cost their own row alone, whatever body they come in.

A hole is no value, or a number that is not finite or that the model's type cannot hold; in a table
also text. Each law holds for every body, and for the command that scores files.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from service.cli import main
from tests.helpers.http import ARROW, NPY, to_npy
from tests.helpers.tables import CSV, JSON, PARQUET, WRITERS
from tests.helpers.tiny import write_tiny_bundle
from tests.stored.files import app

SOUND = [[1.0, 2.0], [3.0, 4.5]]
HOLES: dict[str, Any] = {
    "nothing": None,
    "nan": math.nan,
    "inf": math.inf,
    "below": -math.inf,
    "too large": 1e300,
    "many digits": 10**400,
    "text": "many",
}
LISTS, V2 = "lists in Arrow", "/v2"
BODIES = (JSON, NPY, CSV, ARROW, LISTS, PARQUET, V2)
TEXTS = (CSV,)
"""Bodies whose cells may be text among numbers; columns of Arrow and Parquet have one type."""


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server without models of typed columns, which reads bodies by other code."""
    store = tmp_path_factory.mktemp("flows")
    write_tiny_bundle(store, "tiny")
    with app(store) as http:
        yield http


def holds(body: str, value: Any) -> bool:
    """Whether a body can hold a value among numbers."""
    if isinstance(value, str):
        return body in TEXTS
    return not isinstance(value, int) or body in (JSON, CSV)


def ask(
    http: httpx.Client,
    endpoint: str,
    rows: list[list[Any]],
    body: str,
    model: str = "tiny",
    **query: Any,
) -> httpx.Response:
    """The answer in JSON to rows in some body."""
    field = "z" if endpoint in ("decode", "layers") else "x"
    url, headers = f"/{endpoint}", {"content-type": body, "accept": JSON}
    if body == JSON:
        content: Any = json.dumps({"model": model, field: rows, **query})
        return http.post(url, content=content, headers=headers)
    parameters = {"model": model, **{k: str(v).lower() for k, v in query.items()}}
    if body == NPY:
        array = np.array(rows, float)
        return http.post(url, params=parameters, content=to_npy(array), headers=headers)
    if body == LISTS:
        table = {field: pa.array(rows, pa.list_(pa.float64(), len(rows[0])))}
        return http.post(
            url,
            params=parameters,
            content=WRITERS[ARROW](table),
            headers=headers | {"content-type": ARROW},
        )
    table = {f"{field}{i}": list(values) for i, values in enumerate(zip(*rows, strict=True))}
    return http.post(url, params=parameters, content=WRITERS[body](table), headers=headers)


def infer(http: httpx.Client, endpoint: str, rows: list[list[Any]], **query: Any) -> httpx.Response:
    """The answer of the Open Inference Protocol to rows as binary."""
    name, field = ("tiny.decode", "z") if endpoint == "decode" else ("tiny", "x")
    data = np.array(rows, "<f8").tobytes()
    tensor = {"name": field, "datatype": "FP64", "shape": [len(rows), len(rows[0])]}
    head = {
        "inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}],
        "outputs": [{"name": "log_prob"}],
        "parameters": query,
    }
    content = json.dumps(head).encode()
    headers = {"inference-header-content-length": str(len(content))}
    return http.post(f"/v2/models/{name}/infer", content=content + data, headers=headers)


def with_holes(value: Any) -> list[list[Any]]:
    """Rows of which the first and the last have none but their holes in common."""
    return [[1.0, value], *SOUND, [value, value]]


@pytest.mark.parametrize("endpoint", ["log_prob", "encode", "decode"])
@pytest.mark.parametrize(
    ("hole", "body"),
    [(hole, body) for hole, value in HOLES.items() for body in BODIES if holds(body, value)],
)
def test_a_hole_costs_its_own_row_alone(
    flows: TestClient, tables: TestClient, hole: str, body: str, endpoint: str
) -> None:
    rows = with_holes(HOLES[hole])
    for http in (flows, tables):
        if body == V2:
            refused, answer = infer(http, endpoint, rows), infer(http, endpoint, rows, partial=True)
            assert answer.status_code == 200, answer.text
            said = answer.json()
            log_prob, errors = said["outputs"][0]["data"], json.loads(said["parameters"]["errors"])
        else:
            refused = ask(http, endpoint, rows, body)
            answer = ask(http, endpoint, rows, body, partial=True)
            assert answer.status_code == 200, answer.text
            log_prob, errors = answer.json()["log_prob"], answer.json()["errors"]
        assert log_prob == [None, 3.0, 7.5, None]
        assert [(e["row"], e["reason"], e["column"]) for e in errors] == [
            (0, "invalid-input", 1),
            (3, "invalid-input", 0),
        ]
        field = "z" if endpoint == "decode" else "x"
        words = f"{field}: row 0, column 1 holds no finite float32 number"
        text = "" if body != CSV or holds(NPY, HOLES[hole]) else f", but '{HOLES[hole]}"
        assert errors[0]["detail"].startswith((words + text)[:80])
        assert refused.status_code in (400, 422)
        # one of which all are of many digits is not looked for
        place = ("row 0", "[0][1] is", "row 3", "hundreds of digits")
        assert any(each in refused.text for each in place), refused.text


@pytest.mark.parametrize("endpoint", ["layers", "decode"])
@pytest.mark.parametrize("body", [JSON, NPY, LISTS, CSV, ARROW, PARQUET])
@pytest.mark.parametrize("hole", ["nothing", "nan", "inf", "too large"])
def test_a_hole_in_latents_of_layers_and_of_typed_columns_costs_its_own_row(
    client: httpx.Client, tables: TestClient, hole: str, body: str, endpoint: str
) -> None:
    model, width = ("moons-maf", 2) if endpoint == "layers" else ("typed", 4)
    http = client if endpoint == "layers" else tables
    # of typed columns latents are float64, which holds 1e300
    value = math.inf if (endpoint, hole) == ("decode", "too large") else HOLES[hole]
    sound = [[0.1 * i, *(0.2,) * (width - 1)] for i in range(2)]
    rows = [[*sound[0][:-1], value], *sound, [value] * width]
    name = "states" if endpoint == "layers" else "x"
    alone = ask(http, endpoint, sound, body, model).json()[name]
    answer = ask(http, endpoint, rows, body, model, partial=True)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert [(e["row"], e["column"]) for e in said["errors"]] == [(0, width - 1), (3, 0)]
    np.testing.assert_allclose(said[name][1:3], alone, rtol=1e-5, atol=1e-6)
    for row in (0, 3):
        assert np.isnan(np.array(said[name][row], float)).all()
    assert ask(http, endpoint, rows, body, model).status_code in (400, 422)


def test_a_list_that_is_null_is_a_row_of_holes(flows: TestClient, tables: TestClient) -> None:
    lists = pa.array([SOUND[0], None, SOUND[1]], pa.list_(pa.float32(), 2))
    query = {"model": "tiny", "partial": "true"}
    for http in (flows, tables):
        content = WRITERS[ARROW]({"x": lists})
        headers = {"content-type": ARROW, "accept": JSON}
        answer = http.post("/log_prob", params=query, content=content, headers=headers)
        assert answer.json()["log_prob"] == [3.0, None, 7.5]


@pytest.mark.parametrize(
    ("hole", "ending"),
    [(hole, ending) for hole in HOLES for ending in ("csv", "ndjson")]
    + [(hole, ending) for hole in (*HOLES,)[:5] for ending in ("npy", "parquet")],
)
def test_files_lose_the_same_rows(tmp_path: Path, hole: str, ending: str) -> None:
    rows = with_holes(HOLES[hole])
    write_tiny_bundle(tmp_path, "tiny")
    columns = {"x0": [row[0] for row in rows], "x1": [row[1] for row in rows]}
    file, out = tmp_path / f"rows.{ending}", tmp_path / "out.ndjson"
    if ending == "npy":
        np.save(file, np.array(rows, float))
    elif ending == "ndjson":
        lines = [json.dumps({"x0": a, "x1": b}) for a, b in rows]
        file.write_text("\n".join(lines))
    else:
        file.write_bytes(WRITERS[{"csv": CSV, "parquet": PARQUET}[ending]](columns))
    command = ["score", str(tmp_path / "tiny"), str(file), "--out", str(out), "--device", "cpu"]
    assert main([*command, "--on-error", "skip"]) == 3
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["log_prob"] for each in scored] == [3.0, 7.5]
    report = (tmp_path / "out.ndjson.skipped.ndjson").read_text().splitlines()
    assert [json.loads(line)["row"] for line in report] == [0, 3]


TYPED = [[0.1, 0.3, 1.0, 1709164800.0], [0.1, 0.3, math.nan, 1709164800.0]]


@pytest.mark.parametrize("body", [JSON, NPY, LISTS, CSV, ARROW, PARQUET, "rows of JSON"])
@pytest.mark.parametrize("endpoint", ["log_prob", "encode", "score"])
def test_an_infinite_number_costs_its_own_row_of_typed_columns(
    detectors: TestClient, endpoint: str, body: str
) -> None:
    model = "detector" if endpoint == "score" else "typed"
    rows = [[math.inf, *TYPED[0][1:]], *TYPED]
    if body in (JSON, NPY, LISTS):
        alone = ask(detectors, endpoint, TYPED, body, model)
        answer = ask(detectors, endpoint, rows, body, model, partial=True)
        refused = ask(detectors, endpoint, rows, body, model)
        assert "[0][0] is inf" in refused.text
    else:
        answer, alone = (by_name(detectors, endpoint, each, body, model) for each in (rows, TYPED))
    said = answer.json()
    assert [(e["row"], e["column"]) for e in said["errors"]] == [(0, "amount")]
    assert said["log_prob"] == [None, *alone.json()["log_prob"]]
    assert None not in alone.json()["log_prob"]


def by_name(
    http: httpx.Client, endpoint: str, rows: list[list[float]], body: str, model: str
) -> httpx.Response:
    """The answer to typed rows by the names of their columns."""
    columns: dict[str, list[Any]] = {
        "amount": [row[0] for row in rows],
        "count": [row[1] for row in rows],
        "country": [None if math.isnan(row[2]) else "FR" for row in rows],
        "seen": ["2024-02-29"] * len(rows),
    }
    if body == "rows of JSON":
        content: Any = json.dumps({"model": model, "columns": columns, "partial": True})
        return http.post(f"/{endpoint}", content=content)
    query = {"model": model, "partial": "true"}
    headers = {"content-type": body, "accept": JSON}
    content = WRITERS[body](columns)
    return http.post(f"/{endpoint}", params=query, content=content, headers=headers)


def test_what_is_no_row_of_numbers_is_a_fault_of_the_request(flows: TestClient) -> None:
    wrong: list[list[list[Any]]] = [[[1.0, "many"], *SOUND], [[1.0, True], *SOUND]]
    for rows in (*wrong, [[1.0], *SOUND], [[None]]):
        assert ask(flows, "log_prob", rows, JSON, partial=True).status_code == 422
    text = {"x0": ["1", "2"], "x1": [1.0, 2.0]}
    for body in (ARROW, PARQUET):
        query, headers = {"model": "tiny", "partial": "true"}, {"content-type": body}
        answer = flows.post("/log_prob", params=query, content=WRITERS[body](text), headers=headers)
        assert answer.status_code == 422
        assert "column 'x0' holds text" in answer.text
