"""The client, blocking and not: against a server, and against one that answers by a script."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import httpx
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from service.client import (
    AsyncClient,
    BijectaError,
    Client,
    Decoded,
    Encoded,
    RefusedError,
    TimedOutError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
    exchange,
)
from tests.helpers.http import MOONS, ask

DIGITS = load_digits().data[:20]
X = np.array([[0.5, 0.5], [1, -0.5]], np.float32)
HEADER = "Inference-Header-Content-Length"

H = TypeVar("H")
Handler = Callable[[httpx.Request], httpx.Response]


class Asker:
    """One client, blocking or not; its answers are those of the methods called by name."""

    def __init__(self, kind: str, url: str, script: Handler | None = None, **options: Any) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        self.client: Any
        if self._runner is not None:
            self.client = AsyncClient(url, http=_http(httpx.AsyncClient, script), **options)
        else:
            self.client = Client(url, http=_http(httpx.Client, script), **options)

    def __call__(self, question: str, *arguments: Any, **options: Any) -> Any:
        asked = getattr(self.client, question)(*arguments, **options)
        return asked if self._runner is None else self._runner.run(asked)

    def close(self) -> None:
        self("close")
        if self._runner is not None:
            self._runner.close()


def _http(kind: Callable[..., H], script: Handler | None) -> H | None:
    return None if script is None else kind(transport=httpx.MockTransport(script))


Make = Callable[..., Asker]


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Asker] = []

    def start(*arguments: Any, **options: Any) -> Asker:
        made.append(Asker(request.param, *arguments, **options))
        return made[-1]

    yield start
    for asker in made:
        asker.close()


@pytest.fixture
def real(make: Make, client: httpx.Client) -> Make:
    """Askers of the session's server."""
    return lambda **options: make(str(client.base_url), **options)


class Clock:
    """A clock that goes on only when somebody sleeps, and keeps count of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("exchange", "questions"):
        monkeypatch.setattr(f"service.client.{module}.monotonic", lambda: clock.now)
    monkeypatch.setattr("service.client.sleep", clock.sleep)
    monkeypatch.setattr("service.client.anyio.sleep", clock.sleep_async)
    return clock


class Server:
    """Answers by a script, step by step, then by the protocol; and keeps what it was asked.

    The log_prob of a row is its sum, and z is x.
    """

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.script = list(script)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.script:
            step = self.script.pop(0)
            if isinstance(step, Exception):
                raise step
            # a response is used up by who reads it
            return httpx.Response(step.status_code, headers=step.headers, content=step.content)
        head, arrays = inference(request)
        outputs: dict[str, NDArray[Any]] = {}
        if "n" in arrays:
            n = int(arrays["n"][0])
            outputs = {"x": np.zeros((n, 2)), "log_prob": np.zeros(n)}
        else:
            rows = next(iter(arrays.values()))
            outputs = {"log_prob": rows.sum(1), "z": rows, "x": rows}
        wanted = [output["name"] for output in head["outputs"]]
        return protocol({name: outputs[name] for name in wanted}, parameters={"seed": 3})


def inference(request: httpx.Request) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A request as the protocol says that it is to be read."""
    length = int(request.headers[HEADER])
    head = orjson.loads(request.content[:length])
    types, arrays = {"FP32": "<f4", "INT64": "<i8"}, {}
    for described in head["inputs"]:
        stop = length + described["parameters"]["binary_data_size"]
        values = np.frombuffer(request.content[length:stop], types[described["datatype"]])
        arrays[described["name"]] = values.reshape(described["shape"])
        length = stop
    assert length == len(request.content)
    return head, arrays


def protocol(
    outputs: Mapping[str, NDArray[Any]], cut: int | None = None, more: bytes = b"", **head: Any
) -> httpx.Response:
    described = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": values.shape,
            "parameters": {"binary_data_size": 4 * values.size},
        }
        for name, values in outputs.items()
    ]
    text = orjson.dumps({"outputs": described, **head})
    tail = b"".join(values.astype("<f4").tobytes() for values in outputs.values())
    return httpx.Response(200, content=(text + tail)[:cut] + more, headers={HEADER: str(len(text))})


def refused(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": "not now"}, headers=headers)


def scripted(
    make: Make, *script: httpx.Response | Exception, **options: Any
) -> tuple[Asker, Server]:
    server = Server(*script)
    return make("http://flows", script=server, **{"model": "moons"} | options), server


# Against a server.


@pytest.mark.parametrize("model", ["moons-maf", "digits-maf"])
def test_every_question_answers_as_json_does(real: Make, client: httpx.Client, model: str) -> None:
    rows, asker, name = (MOONS if "moons" in model else DIGITS), real(model=model), {"model": model}
    told = ask(client, "/encode", **name, x=rows.tolist())
    log_prob, (z, same) = asker("log_prob", rows), asker("encode", rows)
    x, again = asker("decode", z)
    decoded = ask(client, "/decode", **name, z=z.tolist())
    drawn = asker("sample", 5, seed=3, temperature=0.5)
    sampled = ask(client, "/sample", **name, n=5, seed=3, temperature=0.5)
    path = asker("interpolate", rows[0], rows[1], 4, "geodesic")
    ends = {"start": rows[0].tolist(), "end": rows[1].tolist()}
    interpolated = ask(client, "/interpolate", **name, **ends, steps=4, path="geodesic")
    for found, expected in (
        (log_prob, told["log_prob"]),
        (same, told["log_prob"]),
        (z, told["z"]),
        (x, decoded["x"]),
        (again, decoded["log_prob"]),
        *((getattr(drawn, key), sampled[key]) for key in ("x", "log_prob")),
        *((getattr(path, key), interpolated[key]) for key in ("x", "log_prob", "z")),
    ):
        # how rows are batched may change the last digits
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * rows.shape[1])
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert found.flags.writeable
    assert drawn.seed == 3


def test_options_arrive(real: Make, client: httpx.Client) -> None:
    asker, body = real(model="digits-maf"), {"model": "digits-maf", "seed": 5}
    noisy = ask(client, "/log_prob", **body, x=DIGITS.tolist(), dequantize=3)["log_prob"]
    found = asker("log_prob", DIGITS, dequantize=3, seed=5)
    np.testing.assert_allclose(found, noisy, rtol=1e-5)
    rounded = ask(client, "/sample", **body, n=3, quantize=True)["x"]
    assert np.array_equal(asker("sample", 3, seed=np.uint64(5), quantize=True).x, rounded)
    assert asker("sample", 2).seed != asker("sample", 2).seed
    assert asker("sample", 1, seed=2**64 - 1).seed == 2**64 - 1


def test_arrays_of_any_layout_and_number_are_taken(real: Make) -> None:
    asker = real(model="moons-maf")
    expected = asker("log_prob", X)
    wide = np.zeros((2, 4))
    wide[:, ::2] = X
    for same in (
        X.tolist(),
        X.astype(np.float64),
        np.asfortranarray(X),
        wide[:, ::2],
        X.astype(">f4"),
    ):
        assert np.array_equal(asker("log_prob", same), expected)
    assert asker("log_prob", [[1, 2]]).shape == (1,)
    for wrong in ([["1", "2"]], [[True, False]], [[None, 1]], [[1j, 0]]):
        with pytest.raises(TypeError, match="x: expected an array of numbers"):
            asker("log_prob", wrong)
    with pytest.raises(TypeError):
        asker("sample", 2.5)


def test_contexts_by_name_and_by_number(real: Make, client: httpx.Client) -> None:
    asker, body = real(model="moons-context"), {"model": "moons-context"}
    named: list[list[Any]] = [[0.123456789, "lower"], [1.5, "upper"]]
    coded = np.array([[0.123456789, 0], [1.5, 1]])
    told = ask(client, "/encode", **body, x=X.tolist(), context=named)
    for context in (named, coded, np.array(named, object)):
        np.testing.assert_allclose(asker("log_prob", X, context), told["log_prob"], atol=1e-5)
        z, _ = asker("encode", X, context)
        np.testing.assert_allclose(asker("decode", z, context).x, X, atol=1e-5)
        x = asker("sample", 2, seed=1, context=context).x
        one = asker("sample", 2, seed=1, context=context[0]).x
        np.testing.assert_allclose(one[0], x[0], atol=1e-5)
        assert np.abs(one[1] - x[1]).max() > 1e-2
        path = asker("interpolate", X[0], X[1], 3, context=context[0])
        np.testing.assert_allclose(path.x[[0, -1]], X, atol=1e-4)


def test_rows_outside_the_support(real: Make) -> None:
    rows = DIGITS[:3].copy()
    rows[1, 5] = 40
    asker = real(model="digits-nice", rows_per_request=1)
    assert np.isneginf(asker("log_prob", rows)).tolist() == [False, True, False]
    with pytest.raises(RefusedError, match=r"row 0, column 5 is 40.* begins at row 1"):
        asker("encode", rows)
    # the native routes say more, for programs
    with pytest.raises(RefusedError) as refused:
        asker("interpolate", rows[0], rows[1])
    error = refused.value
    assert (error.status, error.reason) == (422, "invalid-input")
    assert "outside the model's support" in error.detail
    assert (error.extra["row"], error.extra["column"]) == (0, 5)
    assert error.extra.keys() == {"row", "column", "bounds"}


def test_what_the_server_refuses_is_said_in_its_words(real: Make) -> None:
    asker = real(model="moons-maf")
    for question, status, words in (
        (("log_prob", X[:, :1]), 400, r"x: expected N × 2 numbers, got shape \(2, 1\)"),
        (("log_prob", X[:0]), 400, r"got shape \(0, 2\)"),
        (("log_prob", 1.0), 400, r"got shape \(\)"),
        (("log_prob", [[np.nan, 0]]), 400, "finite float32"),
        (("log_prob", [[1e39, 0]]), 400, "finite float32"),
        (("log_prob", X, [[1]]), 400, "conditional on nothing"),
        (("sample", 0), 400, "greater than or equal to 1"),
        (("sample", 70_000), 413, "70000"),
        (("interpolate", X[0], X[1], 1), 422, "steps"),
    ):
        with pytest.raises(RefusedError, match=words) as refused:
            asker(*question)
        assert refused.value.status == status
    for options in ({"model": "none"}, {"version": 9}):
        with pytest.raises(RefusedError) as refused:
            asker("encode", X, **options)
        assert (refused.value.status, refused.value.reason) == (404, "unknown-model")


def test_models_and_readiness(real: Make) -> None:
    asker = real(model="moons-maf")
    assert {"moons-maf", "digits-nice"} <= {m["name"] for m in asker("models")["models"]}
    assert asker("model")["name"] == "moons-maf"
    assert asker("model", "digits-nice", 1)["family"] == "nice"
    with pytest.raises(RefusedError, match="no version 2"):
        asker("model", version=2)
    assert asker("ready") is True
    with pytest.raises(BijectaError, match="say which model: one of digits-image, "):
        real()("log_prob", X)


def test_many_parts_are_one_answer(real: Make) -> None:
    whole, parted = (real(model="moons-context", rows_per_request=n) for n in (10_000, 7))
    context = np.stack([np.linspace(-1, 1, 200), np.arange(200) % 2], 1)
    for given in (context, context[0]):
        one, many = (asker("encode", MOONS, given) for asker in (whole, parted))
        assert isinstance(many, Encoded)
        np.testing.assert_allclose(many.z, one.z, atol=1e-5)
        np.testing.assert_allclose(many.log_prob, one.log_prob, atol=1e-5)
        back = parted("decode", many.z, given)
        assert isinstance(back, Decoded)
        np.testing.assert_allclose(back.x, MOONS, atol=1e-4)
    for wrong in (context[:199], context[:7], np.tile(context, (2, 1)), context[:1]):
        with pytest.raises(RefusedError, match="context: expected"):
            parted("log_prob", MOONS, wrong)


# Against a script.


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
    monkeypatch.setattr("service.client.bodies.MOST_BYTES", 40)  # five rows
    asker, server = scripted(make)
    assert len(asker("log_prob", np.zeros((12, 2)))) == 12
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


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_busy_is_asked_again_when_it_says(make: Make, clock: Clock, status: int) -> None:
    busy = [refused(status, **{"Retry-After": "2"}), refused(status, **{"Retry-After": "3"})]
    asker, server = scripted(make, *busy)
    assert asker("log_prob", X).tolist() == [1.0, 0.5]
    assert len(server.asked) == 3
    assert len({request.content for request in server.asked}) == 1
    first, second = clock.sleeps
    assert 2 < first < 2.2
    assert 3 < second < 3.4


def test_retry_after_may_be_a_date_or_nonsense(make: Make, clock: Clock) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=20), usegmt=True)
    texts = (date, past, "soon", "-1", "")
    asker, _ = scripted(make, *(refused(503, **{"Retry-After": text}) for text in texts), retries=5)
    asker("log_prob", X)
    assert 17 < clock.sleeps[0] < 20.2
    assert all(0 < seconds < 2 for seconds in clock.sleeps[1:])


def test_waits_grow_and_differ_and_have_an_end(make: Make, clock: Clock) -> None:
    asker, server = scripted(make, *(refused(503) for _ in range(40)), retries=9, timeout=1000)
    with pytest.raises(UnavailableError, match="not now") as found:
        asker("log_prob", X)
    assert found.value.status == 503
    assert len(server.asked) == 10
    longest = [min(0.1 * 2**i, 10) for i in range(9)]
    assert all(most / 2 <= s <= most for s, most in zip(clock.sleeps, longest, strict=True))
    before = clock.sleeps[:]
    with pytest.raises(UnavailableError):
        asker("log_prob", X)
    assert clock.sleeps[9] != before[0]  # not all callers at once


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("no answer"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("hung up"),
    ],
)
def test_failures_of_the_connection_may_pass(make: Make, clock: Clock, failure: Exception) -> None:
    asker, server = scripted(make, failure, failure)
    assert asker("sample", 3).seed == 3
    assert len(server.asked) == 3
    asker, server = scripted(make, *[failure] * 9, retries=2)
    expected = TimedOutError if isinstance(failure, httpx.TimeoutException) else UnreachableError
    with pytest.raises(expected, match=str(failure)) as found:
        asker("sample", 3)
    assert found.value.status is None
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("step", "error", "status"),
    [
        (refused(400), RefusedError, 400),
        (refused(404), RefusedError, 404),
        (refused(413), RefusedError, 413),
        (refused(500), BijectaError, 500),
        (refused(504), TimedOutError, 504),
        (httpx.Response(302, headers={"Location": "/"}), BijectaError, 302),
        (httpx.UnsupportedProtocol("ftp"), UnreachableError, None),
    ],
)
def test_what_would_not_pass_is_asked_once(
    make: Make, clock: Clock, step: Any, error: type[BijectaError], status: int | None
) -> None:
    asker, server = scripted(make, step)
    with pytest.raises(error) as found:
        asker("log_prob", X)
    assert type(found.value) is error
    assert found.value.status == status
    assert len(server.asked) == 1
    assert clock.sleeps == []


def test_nobody_waits_beyond_the_time_of_the_call(make: Make, clock: Clock) -> None:
    late = refused(503, **{"Retry-After": "30"})
    asker, server = scripted(make, late, timeout=20)
    with pytest.raises(UnavailableError):
        asker("log_prob", X)
    assert (len(server.asked), clock.sleeps) == (1, [])
    # without a limit, it waits
    asker, server = scripted(make, refused(503, **{"Retry-After": "3000"}), timeout=None)
    asker("log_prob", X)
    assert clock.sleeps[0] > 3000
    assert "X-Request-Timeout" not in server.asked[0].headers
    assert server.asked[0].extensions["timeout"]["read"] is None


def test_the_server_is_told_what_time_is_left(make: Make, clock: Clock) -> None:
    asker, server = scripted(make, refused(503, **{"Retry-After": "12"}), timeout=20)
    asker("log_prob", X)
    for request, left in zip(server.asked, (20, 20 - clock.sleeps[0]), strict=True):
        assert float(request.headers["X-Request-Timeout"]) == pytest.approx(left, abs=1e-3)
        assert request.extensions["timeout"]["read"] == pytest.approx(left)
        assert request.extensions["timeout"]["connect"] == pytest.approx(min(left, 5))


def test_all_parts_share_the_time_of_the_call(make: Make, clock: Clock) -> None:
    server = Server()

    def slow(request: httpx.Request) -> httpx.Response:
        clock.now += 4
        return server(request)

    asker = make("http://flows", script=slow, model="moons", timeout=10, rows_per_request=1)
    with pytest.raises(TimedOutError, match=r"time of the call was over.*begins at row 3"):
        asker("log_prob", np.zeros((5, 2)))
    assert [float(r.headers["X-Request-Timeout"]) for r in server.asked] == [10, 6, 2]


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
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_of_something_else_is_no_answer(make: Make, case: str) -> None:
    asker, server = scripted(make, BAD_ANSWERS[case])
    with pytest.raises(UnreadableError) as found:
        asker("log_prob", X)
    assert found.value.status == 200
    assert len(server.asked) == 1


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
        (("models",), httpx.Response(200, text="<p>")),
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


@pytest.mark.parametrize("step", [refused(503), httpx.ConnectError(""), httpx.ReadTimeout("")])
def test_who_does_not_answer_is_not_ready(make: Make, clock: Clock, step: Any) -> None:
    asker, server = scripted(make, step)
    assert asker("ready") is False
    assert len(server.asked) == 1
    server.script = [refused(404)]  # something else answers there
    with pytest.raises(RefusedError):
        asker("ready")


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


def test_many_questions_at_a_time_of_one_client(client: httpx.Client) -> None:
    async def together() -> list[NDArray[np.float32]]:
        async with AsyncClient(str(client.base_url), "moons-maf") as asker:
            return await asyncio.gather(*(asker.log_prob(MOONS[i : i + 1]) for i in range(40)))

    expected = ask(client, "/log_prob", model="moons-maf", x=MOONS[:40].tolist())["log_prob"]
    np.testing.assert_allclose(np.concatenate(asyncio.run(together())), expected, atol=1e-5)


def test_a_call_ends_in_time_though_the_server_is_silent(make: Make) -> None:
    # a real connection that is taken and never answered
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asker = make(f"http://127.0.0.1:{silent.getsockname()[1]}", model="moons", timeout=0.3)
        started = time.monotonic()
        with pytest.raises(TimedOutError):
            asker("log_prob", X)
        assert 0.25 < time.monotonic() - started < 5


def test_waits_are_within_their_bounds() -> None:
    asked_for = exchange.Answer(429, {"retry-after": "7"}, b"")
    waits = [exchange._wait(asked_for, attempt) for attempt in (0, 5, 10**6)]
    assert all(wait is not None and 7 < wait <= 17 for wait in waits)


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_client_needs_httpx_and_nothing_of_the_servers() -> None:
    heavy = "torch", "onnxruntime", "fastapi", "starlette", "uvicorn"
    found = run(f"import sys, service.client\nprint({set(heavy)} & set(sys.modules))")
    assert found == "set()\n"
    without = "import sys\nsys.modules['httpx'] = None\nimport service.cli, service.http.app\n"
    assert run(without) == ""
    assert "pip install 'bijecta[client]'" in run(f"{without}import service.client")
