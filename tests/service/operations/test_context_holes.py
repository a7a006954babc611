"""Holes in a context: with `partial` they cost the row that it is of, as those of rows do."""

import json
import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.cli import main
from tests.helpers.contexts import CONTEXT, X
from tests.helpers.http import ARROW
from tests.helpers.tables import CSV, JSON, PARQUET, WRITERS
from tests.helpers.typed import write_typed_bundle
from tests.stored.files import app

CONTEXT_HOLES: dict[str, Any] = {"nothing": None, "nan": math.nan, "inf": math.inf, "text": "many"}


def fits(body: str, hole: str, column: int) -> bool:
    """Whether a column of the context can hold it beside its other values."""
    if body in (JSON, CSV) or CONTEXT_HOLES[hole] is None:
        return True
    return isinstance(CONTEXT_HOLES[hole], str) == isinstance(CONTEXT[0][column], str)


@pytest.mark.parametrize("endpoint", ["log_prob", "encode", "decode"])
@pytest.mark.parametrize(
    ("body", "hole", "column"),
    [
        (body, hole, column)
        for body in (JSON, CSV, ARROW, PARQUET)
        for hole in CONTEXT_HOLES
        for column in (0, 1)
        if fits(body, hole, column)
    ],
)
def test_a_hole_in_a_context_costs_its_own_row_alone(
    client: httpx.Client, hole: str, body: str, endpoint: str, column: int
) -> None:
    context = [list(each) for each in CONTEXT]
    context[1][column] = CONTEXT_HOLES[hole]
    field = "z" if endpoint == "decode" else "x"
    answer = asked_with_context(client, endpoint, field, X, context, body)
    alone = asked_with_context(client, endpoint, field, X[::2], context[::2], body)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert [(e["row"], e["column"]) for e in said["errors"]] == [(1, column)]
    expected = alone.json()["log_prob"]
    assert said["log_prob"][1] is None
    np.testing.assert_allclose(said["log_prob"][::2], expected, rtol=1e-5, atol=1e-6)


def asked_with_context(
    client: httpx.Client,
    endpoint: str,
    field: str,
    rows: list[list[float]],
    context: list[list[Any]],
    body: str,
) -> httpx.Response:
    """The answer to rows and their context."""
    if body == JSON:
        content: Any = json.dumps(
            {"model": "moons-context", field: rows, "context": context, "partial": True}
        )
        return client.post(f"/{endpoint}", content=content)
    table: dict[str, Any] = {
        **{f"{field}{i}": list(each) for i, each in enumerate(zip(*rows, strict=True))},
        "lift": [row[0] for row in context],
        "half": [row[1] for row in context],
    }
    return client.post(
        f"/{endpoint}",
        params={"model": "moons-context", "partial": "true"},
        content=WRITERS[body](table),
        headers={"content-type": body, "accept": JSON},
    )


def test_files_lose_the_rows_whose_context_has_a_hole(tmp_path: Path) -> None:
    write_typed_bundle(tmp_path, "conditional", context=True)
    head = "amount,count,country,seen,mean\n"
    lines = [f"0.1,0.3,FR,2024-02-29,{mean}\n" for mean in ("1", "", "inf", "many", "2")]
    (tmp_path / "rows.csv").write_text(head + "".join(lines))
    out = tmp_path / "out.ndjson"
    command = ["score", str(tmp_path / "conditional"), str(tmp_path / "rows.csv")]
    assert main([*command, "--out", str(out), "--on-error", "skip", "--device", "cpu"]) == 3
    assert len(out.read_text().splitlines()) == 2
    with app(tmp_path) as http:
        answer = http.post(
            "/log_prob",
            params={"partial": "true"},
            content=(tmp_path / "rows.csv").read_bytes(),
            headers={"content-type": CSV, "accept": JSON},
        ).json()
    assert [error["row"] for error in answer["errors"]] == [1, 2, 3]
