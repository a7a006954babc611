"""Requests and answers of the client, against a script."""

import asyncio
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from bijecta_client import (
    AsyncClient,
    BijectaError,
    Client,
    RefusedError,
    UnreadableError,
)
from tests.helpers.askers import (
    HEADER,
    Make,
    Server,
    X,
    inference,
    protocol,
    scripted,
)


def test_rows_go_in_parts_and_keep_their_order(make: Make) -> None:
    asker, server = scripted(make, rows_per_request=4)
    rows = np.arange(20, dtype=np.float64).reshape(10, 2)
    assert asker("log_prob", rows).tolist() == rows.sum(1).tolist()
    sizes = [inference(request)[1]["x"].shape for request in server.asked]
    assert sizes == [(4, 2), (4, 2), (2, 2)]
    assert {r.url.path for r in server.asked} == {"/v2/models/moons/infer"}
    assert inference(server.asked[0])[0]["outputs"] == [{"name": "log_prob"}]
    asker("encode", rows[:4])
    assert len(server.asked) == 4


def test_rows_of_many_bytes_go_in_smaller_parts(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bijecta_client.bodies.MOST_BYTES", 40)  # five rows
    asker, server = scripted(make)
    assert len(asker("log_prob", np.zeros((12, 2), np.float32))) == 12
    assert [len(inference(r)[1]["x"]) for r in server.asked] == [5, 5, 2]


def test_what_is_one_stream_of_noise_is_one_request(make: Make) -> None:
    asker, server = scripted(make, rows_per_request=4)
    assert asker("sample", 10).x.shape == (10, 2)
    asker("log_prob", np.zeros((10, 2)), dequantize=2, seed=1)
    assert len(server.asked) == 2
    # without a seed each row's noise is its own, and the copies count as rows
    asker("log_prob", np.zeros((10, 2)), dequantize=2)
    assert len(server.asked) == 2 + 5


def test_a_part_that_is_refused_names_the_row_of_the_whole(make: Make) -> None:
    problem = {"type": "urn:bijecta:non-finite-output", "detail": "row 1 is", "row": 1, "status": 0}
    asker, server = scripted(make, rows_per_request=4)
    server.script = [protocol({"log_prob": np.zeros(4)}), httpx.Response(422, json=problem)]
    with pytest.raises(
        RefusedError, match=r"row 1 is \(in the part that begins at row 4\)"
    ) as found:
        asker("log_prob", np.zeros((10, 2)))
    assert found.value.reason == "non-finite-output"
    assert (found.value.first_row, found.value.extra) == (4, {"row": 5})
    assert len(server.asked) == 2


ONE = np.zeros(1)


BAD_ANSWERS = {
    "a page": httpx.Response(200, html="<p>welcome"),
    "a list": httpx.Response(200, json=[1], headers={HEADER: "3"}),
    "no outputs": httpx.Response(200, json={}, headers={HEADER: "2"}),
    "no length": httpx.Response(200, content=protocol({"log_prob": np.zeros(2)}).content),
    "another output": protocol({"z": np.zeros(2)}),
    "too few rows": protocol({"log_prob": ONE}),
    "a number": protocol({"log_prob": np.ones(())}),
    "cut short": protocol({"log_prob": np.zeros(2)}, cut=-1),
    "too long": protocol({"log_prob": np.zeros(2)}, more=b"\0"),
    "nothing": httpx.Response(200),
    "parameters that are none": protocol({"log_prob": np.zeros(2)}, parameters=[1]),
    "a matrix": protocol({"log_prob": np.zeros((2, 1))}),
    "no end of lists": httpx.Response(200, text="[" * 100_000, headers={HEADER: "100000"}),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_of_something_else_is_no_answer(make: Make, case: str) -> None:
    asker, server = scripted(make, BAD_ANSWERS[case])
    with pytest.raises(UnreadableError) as found:
        asker("log_prob", X)
    assert found.value.status == 200
    assert len(server.asked) == 1


LARGE = {"x": [[10**400], [0]], "log_prob": [0, 0], "z": [[0], [0]]}


def test_bad_answers_of_the_other_questions(make: Make) -> None:
    both = {"x": np.zeros((1, 2)), "log_prob": ONE}
    for question, step in (
        (("sample", 1), protocol(both)),
        (("sample", 1), protocol(both, parameters=[])),
        (("interpolate", X[0], X[1], 2), httpx.Response(200, json={"x": []})),
        (
            ("interpolate", X[0], X[1], 2),
            httpx.Response(200, json={"x": [{}]} | dict.fromkeys("z")),
        ),
        (("interpolate", X[0], X[1], 2), httpx.Response(200, text="x")),
        (("interpolate", X[0], X[1], 2), httpx.Response(200, json=LARGE)),
        (("models",), httpx.Response(200, text="<p>")),
        (("models",), httpx.Response(200, text="[" * 100_000)),
        (("model",), httpx.Response(200, json=[])),
    ):
        asker, _ = scripted(make, step)
        with pytest.raises(UnreadableError):
            asker(*question)


def test_errors_without_a_document_say_what_came(make: Make) -> None:
    for step, words, reason in (
        (httpx.Response(502, html="<h1>Bad Gateway"), "<h1>Bad Gateway", "bad-gateway"),
        (httpx.Response(500), "Internal Server Error", "internal-server-error"),
        (httpx.Response(599, json={"detail": ["a"]}), r"\['a'\]", "status-599"),
        (httpx.Response(400, json=["x"]), "x", "bad-request"),
    ):
        asker, _ = scripted(make, step)
        with pytest.raises(BijectaError, match=words) as found:
            asker("log_prob", X)
        assert found.value.reason == reason


def test_who_names_no_model_is_told_once(make: Make) -> None:
    def listed(default: str | None, *names: str) -> httpx.Response:
        models = [{"name": name} for name in names]
        return httpx.Response(200, json={"default": default, "models": models})

    for answer, expected in ((listed("b", "a", "b"), "b"), (listed(None, "c"), "c")):
        asker, server = scripted(make, answer, model=None)
        asker("log_prob", X)
        asker("encode", X)
        paths = [request.url.path for request in server.asked]
        assert paths == ["/models", *[f"/v2/models/{expected}/infer"] * 2]
    for answer in (listed(None, "a", "b"), listed(None)):
        asker, _ = scripted(make, answer, model=None)
        with pytest.raises(BijectaError, match="say which model"):
            asker("log_prob", X)


@pytest.mark.parametrize("models", [["a"], [{}], [[]], 5, None, {"a": 1}, [None]])
def test_a_list_of_something_else_is_no_list_of_models(make: Make, models: Any) -> None:
    asker, _ = scripted(make, httpx.Response(200, json={"models": models}), model=None)
    with pytest.raises(UnreadableError, match="expected a list of models"):
        asker("log_prob", X)


def test_a_question_may_name_another_model_and_version(make: Make) -> None:
    asker, server = scripted(make, model="a", version=3)
    asker("log_prob", X)
    asker("decode", X, version=2)
    asker("sample", 1, model="b")
    asker("encode", X, model="b", version=1)
    server.script = [httpx.Response(200, json={})] * 3
    asker("model")
    asker("model", "b/../c")
    for name in ("a", "b"):
        server.script = [httpx.Response(200, json={key: [1, 2] for key in ("x", "z", "log_prob")})]
        asker("interpolate", X[0], X[1], 2, model=None if name == "a" else name)
        body = orjson.loads(server.asked[-1].content)
        assert (body["model"], body["version"]) == (name, 3 if name == "a" else None)
    assert [request.url.raw_path.decode() for request in server.asked] == [
        "/v2/models/a/versions/3/infer",
        "/v2/models/a.decode/versions/2/infer",
        "/v2/models/b.sample/infer",
        "/v2/models/b/versions/1/infer",
        "/models/a?version=3",
        "/models/b%2F..%2Fc",
        "/interpolate",
        "/interpolate",
    ]


def test_a_folder_before_the_paths_is_kept(make: Make) -> None:
    server = Server()
    make("http://flows:81/of/mine/", script=server, model="moons")("log_prob", X)
    assert str(server.asked[0].url) == "http://flows:81/of/mine/v2/models/moons/infer"


def test_a_client_closes_its_own_connections_alone() -> None:
    given = httpx.Client(transport=httpx.MockTransport(Server()))
    with Client("http://flows", "moons", http=given) as client:
        assert client.log_prob(X).shape == (2,)
    assert not given.is_closed
    with Client("http://flows") as client:
        pass
    assert client._http.is_closed

    async def closes() -> bool:
        async with AsyncClient("http://flows") as client:
            pass
        return client._http.is_closed

    assert asyncio.run(closes())
