"""A batch of no rows has an answer of no rows, in its right shape, at every endpoint."""

import io
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.helpers.http import ARROW, NPY, to_npy

MODELS = {
    "moons-maf": ((2,), (2,), None),
    "digits-nice": ((64,), (64,), None),
    "digits-image": ((1, 8, 8), (1, 8, 8), [[3]]),
    "moons-context": ((2,), (2,), [[0.5, "upper"]]),
}
OUTPUTS = {"log_prob": ("log_prob",), "encode": ("z", "log_prob"), "decode": ("x", "log_prob")}


def shape_of(output: str, model: str) -> tuple[int, ...]:
    event, latent, _ = MODELS[model]
    return {"x": event, "z": latent}.get(output, ())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("endpoint", OUTPUTS)
def test_no_rows_in_json(client: httpx.Client, endpoint: str, model: str) -> None:
    source, context = "z" if endpoint == "decode" else "x", MODELS[model][2]
    for given in [context, []] if context else [None]:
        body = {"model": model, source: []} | ({} if given is None else {"context": given})
        answer = client.post(f"/{endpoint}", json=body)
        assert answer.status_code == 200, answer.text
        content = answer.json()
        assert all(content[name] == [] for name in OUTPUTS[endpoint])


def read(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("endpoint", OUTPUTS)
def test_no_rows_in_npy(client: httpx.Client, endpoint: str, model: str) -> None:
    source, context = "z" if endpoint == "decode" else "x", MODELS[model][2]
    query = {"model": model}
    if context:
        query["context"] = ",".join(map(str, context[0]))
    body = to_npy(np.zeros((0, *shape_of(source, model)), np.float32))
    for output in OUTPUTS[endpoint]:
        params = query | {"output": output}
        found = read(
            client.post(f"/{endpoint}", content=body, params=params, headers={"content-type": NPY})
        )
        assert found.shape == (0, *shape_of(output, model))
        assert found.dtype == np.float32


def write(columns: dict[str, Any]) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


@pytest.mark.parametrize("endpoint", OUTPUTS)
def test_no_rows_in_arrow(client: httpx.Client, endpoint: str) -> None:
    source = "z" if endpoint == "decode" else "x"
    lists = write({source: pa.array([], pa.list_(pa.float32(), 2))})
    columns = write({"x": pa.array([], pa.float32()), "y": pa.array([], pa.float64())})
    for body in (lists, columns):
        answer = client.post(
            f"/{endpoint}?model=moons-maf", content=body, headers={"content-type": ARROW}
        )
        assert answer.status_code == 200, answer.text
        table = pa.ipc.open_stream(answer.content).read_all()
        assert (table.num_rows, tuple(table.column_names)) == (0, OUTPUTS[endpoint])
    images = client.post(
        "/sample?model=digits-image&n=0&context=3", headers={"accept": ARROW}
    ).content
    table = pa.ipc.open_stream(images).read_all()
    assert table.num_rows == 0
    assert table.schema.field("x").type.shape == [1, 8, 8]


@pytest.mark.parametrize("model", MODELS)
def test_samples_of_no_rows(client: httpx.Client, model: str) -> None:
    context = MODELS[model][2]
    body = {"model": model, "n": 0, "seed": 5} | ({"context": context} if context else {})
    answer = client.post("/sample", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["x"], answer.json()["log_prob"], answer.json()["seed"]) == ([], [], 5)
    npy = client.post("/sample", json=body, headers={"accept": NPY})
    assert read(npy).shape == (0, *MODELS[model][0])


def test_no_rows_with_noise_and_rounding(client: httpx.Client) -> None:
    scored = client.post("/log_prob", json={"model": "digits-maf", "x": [], "dequantize": 3})
    assert (scored.json()["log_prob"], scored.json()["bits_per_dim"]) == ([], [])
    drawn = client.post("/sample", json={"model": "digits-maf", "n": 0, "quantize": True})
    assert drawn.json()["x"] == []


def test_a_batch_of_rows_without_values_is_none_of_no_rows(client: httpx.Client) -> None:
    wrong: list[Any] = [[[]], [[], []], [[[]]]]
    for x in wrong:
        answer = client.post("/log_prob", json={"model": "moons-maf", "x": x})
        assert answer.status_code == 422, answer.text
    wide = to_npy(np.zeros((0, 3), np.float32))
    url, headers = "/log_prob?model=moons-maf", {"content-type": NPY}
    assert client.post(url, content=wide, headers=headers).status_code == 422
