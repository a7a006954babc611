"""Requests of the native routes, and their answers."""

import io
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from sklearn.datasets import load_digits, make_moons

NPY, ARROW = "application/x-npy", "application/vnd.apache.arrow.stream"


DIGITS = load_digits().data[:50]


MOONS = make_moons(200, noise=0.1, random_state=5)[0]


MODELS = {"digits-maf": DIGITS, "digits-nice": DIGITS, "moons-maf": MOONS, "moons-iaf": MOONS}


def ask(client: httpx.Client, endpoint: str, **body: Any) -> dict[str, Any]:
    answer = client.post(endpoint, json=body)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    for key, value in content.items():
        if isinstance(value, list):
            content[key] = np.array(value, dtype=np.float64)
    return content  # type: ignore[no-any-return]


def to_npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def ask_npy(
    client: httpx.Client, endpoint: str, array: Any, **query: Any
) -> tuple[NDArray[np.float32], httpx.Headers]:
    body = b"" if array is None else to_npy(array)
    headers = {"accept": NPY} | ({} if array is None else {"content-type": NPY})
    answer = client.post(endpoint, content=body, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == NPY
    return np.load(io.BytesIO(answer.content)), answer.headers


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    return metric_of(client.get("/metrics").text, name, **labels)


def metric_of(text: str, name: str, **labels: str) -> float:
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples if s.name == name]
    assert samples, name
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def assert_problem(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:bijecta:")
    assert words in problem["detail"]
