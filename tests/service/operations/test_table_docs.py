"""/docs shows what tables are asked and answer, and what it shows is answered."""

import pytest
from fastapi.testclient import TestClient

from tests.helpers.http import ARROW
from tests.helpers.tables import CSV, PARQUET

TYPES = {"application/json", "application/x-npy", ARROW, CSV, PARQUET}
WAV, PNG = "audio/wav", "image/png"


@pytest.mark.parametrize("endpoint", ["log_prob", "encode", "decode", "sample", "interpolate"])
def test_bodies_and_answers_of_tables_are_shown(tables: TestClient, endpoint: str) -> None:
    shown = tables.get("/openapi.json").json()["paths"][f"/{endpoint}"]["post"]
    bodies = shown["requestBody"]["content"]
    assert bodies.keys() == TYPES
    answers = shown["responses"]["200"]["content"]
    assert answers.keys() == TYPES | {WAV, PNG}
    of_flow, of_table, of_ensemble = bodies["application/json"]["schema"]["anyOf"]
    assert of_table["title"].endswith("OfTable")
    assert of_ensemble["title"].endswith("OfEnsemble")
    own = {"log_prob": "members", "encode": "member", "decode": "member", "interpolate": "member"}
    if endpoint in own:
        assert own[endpoint] in of_ensemble["properties"]
        assert own[endpoint] not in of_flow["properties"]
    if endpoint in ("log_prob", "encode"):
        assert {"x", "rows", "columns"} <= of_table["properties"].keys()
        assert {"required": ["rows"]} in of_table["oneOf"]
        assert "rows" not in of_flow["properties"]
    if endpoint in ("sample", "decode"):
        assert "rows" in answers["application/json"]["schema"]["properties"]
    csv = bodies[CSV]["schema"]["examples"][0]
    assert csv.startswith("amount,")


def test_examples_are_rows_by_name(tables: TestClient) -> None:
    shown = tables.get("/openapi.json").json()["paths"]["/log_prob"]["post"]
    (_, of_table, _) = shown["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    (rows,) = of_table["properties"]["rows"]["examples"]
    row = {**rows[0], "count": 0.3}
    row.pop("age")
    answer = tables.post("/log_prob", json={"model": "typed", "rows": [row]})
    assert answer.status_code == 200, answer.text
