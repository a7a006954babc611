"""Which format an answer comes in, and which of its arrays, over HTTP."""

import io

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.helpers.http import ARROW, NPY, assert_problem, to_npy

JSON, WAV = "application/json", "audio/wav"
BODY = {"model": "moons-maf", "x": [[0.5, 0.5], [1.0, -0.5]]}
OFFERED = [JSON, NPY, ARROW, "text/csv", "application/vnd.apache.parquet"]


def kind(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["content-type"]


def test_what_curl_and_browsers_send_is_answered_in_json(client: httpx.Client) -> None:
    form = "application/x-www-form-urlencoded"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
    content = httpx.Request("POST", "/", json=BODY).content
    for accept in ("*/*", browser, ""):
        headers = {"accept": accept, "content-type": form}
        assert kind(client.post("/log_prob", content=content, headers=headers)) == JSON
    del client.headers["accept"]  # httpx adds it unless told otherwise
    try:
        assert kind(client.post("/log_prob", content=content)) == JSON
    finally:
        client.headers["accept"] = "*/*"


def test_the_heaviest_type_answers_and_a_refused_one_does_not(client: httpx.Client) -> None:
    for accept, answer in [
        (f"{JSON};q=0.5, {NPY};q=0.9", NPY),
        (f"{NPY};q=0, */*", JSON),
        (f"{ARROW}, {JSON};q=0.9", ARROW),
        (f"{JSON};q=0, application/*", NPY),
        (f"{WAV}, {ARROW};q=0.1", ARROW),  # rows of moons are no sounds
    ]:
        headers = {"accept": accept}
        assert kind(client.post("/log_prob", json=BODY, headers=headers)) == answer


def test_a_repeated_header_is_one_list(client: httpx.Client) -> None:
    for accepts, answer in [
        ((NPY, JSON + ";q=0.5"), NPY),
        ((JSON + ";q=0.5", NPY), NPY),
        (("text/html", ARROW, "image/png"), ARROW),
    ]:
        headers = [("accept", value) for value in accepts]
        request = client.build_request("POST", "/log_prob", json=BODY, headers=headers)
        sent = [value.decode() for key, value in request.headers.raw if key.lower() == b"accept"]
        assert tuple(sent) == accepts
        assert kind(client.send(request)) == answer


@pytest.mark.parametrize("accept", ["text/html", f"{JSON};q=0", "*/*;q=0", WAV])
@pytest.mark.parametrize("endpoint", ["log_prob", "sample"])
def test_what_is_not_offered_is_refused_naming_what_is(
    client: httpx.Client, accept: str, endpoint: str
) -> None:
    body = BODY if endpoint == "log_prob" else {"model": "moons-maf"}
    answer = client.post(f"/{endpoint}", json=body, headers={"accept": accept})
    assert_problem(answer, 406, f"offered: {', '.join(OFFERED)}")
    assert answer.json()["offered"] == OFFERED


@pytest.mark.parametrize("accept", ["json", "\xff", ";;q=,,", '"', f"{JSON};q=much", "a/b/c"])
def test_a_header_that_cannot_be_read_is_as_good_as_none(client: httpx.Client, accept: str) -> None:
    headers = [(b"accept", accept.encode("latin-1"))]
    assert kind(client.post("/log_prob", json=BODY, headers=headers)) == JSON
    binary = [*headers, (b"content-type", NPY.encode())]
    rows = to_npy(np.zeros((1, 2)))
    answer = client.post("/log_prob?model=moons-maf", content=rows, headers=binary)
    assert kind(answer) == (JSON if JSON in accept else NPY)


def test_output_picks_one_array_in_every_format(client: httpx.Client) -> None:
    whole = client.post("/encode", json=BODY).json()
    for output, others in (("z", "log_prob"), ("log_prob", "z")):
        url, expected = f"/encode?output={output}", np.float32(whole[output])
        picked = client.post(url, json=BODY).json()
        assert picked == {key: value for key, value in whole.items() if key != others}
        as_npy = client.post(url, json=BODY, headers={"accept": NPY})
        assert np.array_equal(np.load(io.BytesIO(as_npy.content)), expected)
        as_arrow = client.post(url, json=BODY, headers={"accept": ARROW})
        assert pa.ipc.open_stream(as_arrow.content).read_all().column_names == [output]
    seeded = client.post("/sample?output=log_prob", json={"model": "moons-maf", "seed": 3}).json()
    assert seeded.keys() == {"model", "version", "log_prob", "seed"}


@pytest.mark.parametrize("accept", [JSON, NPY, ARROW])
@pytest.mark.parametrize("endpoint", ["encode", "sample"])
def test_an_output_that_is_not_there_is_refused_naming_those_that_are(
    client: httpx.Client, accept: str, endpoint: str
) -> None:
    body = BODY if endpoint == "encode" else {"model": "moons-maf"}
    answer = client.post(f"/{endpoint}?output=w", json=body, headers={"accept": accept})
    names = "z, log_prob" if endpoint == "encode" else "x, log_prob"
    assert_problem(answer, 422, f"output: there is no 'w', only {names}")
