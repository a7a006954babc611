"""The client, blocking and not, against a server."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any

import httpx
import numpy as np
import pytest

from bijecta_client import (
    AsyncClient,
    BijectaError,
    Decoded,
    Encoded,
    Numbers,
    RefusedError,
    TimedOutError,
    UnreachableError,
    UnreadableError,
)
from tests.helpers.askers import (
    DIGITS,
    Make,
    X,
)
from tests.helpers.http import MOONS, ask

TRICKLE = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


def test_latents_are_taken_through_the_layers(real: Make, client: httpx.Client) -> None:
    z = np.array([[0, 0], [1.5, -0.5]])
    found = real(model="moons-maf")("layers", z)
    told = ask(client, "/layers", model="moons-maf", z=z.tolist())
    for name in ("states", "log_probs"):
        np.testing.assert_allclose(getattr(found, name), told[name], rtol=1e-5, atol=1e-5)
        assert getattr(found, name).dtype == np.float32
    of_context = real(model="moons-context")("layers", z, context=[[0.5, "upper"]])
    assert of_context.states.shape[::2] == (2, 2)
    with pytest.raises(RefusedError, match="--layers"):
        real(model="digits-maf")("layers", np.zeros((1, 64)))


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


def test_pictures_are_the_files_of_the_server(real: Make, make: Make, client: httpx.Client) -> None:
    asker, accept = real(model="digits-image"), {"accept": "image/png"}
    z = np.zeros((2, 1, 8, 8), np.float32)
    for question, fields, body in (
        ("sample", {"n": 3, "seed": 5, "context": [4]}, {"n": 3, "seed": 5, "context": [4]}),
        ("decode", {"z": z, "context": [[4]]}, {"z": z.tolist(), "context": [[4]]}),
    ):
        told = client.post(f"/{question}", json={"model": "digits-image"} | body, headers=accept)
        assert asker("png", question, **fields) == told.content
    path = {"start": DIGITS[0], "end": DIGITS[1], "steps": 4, "model": "digits-maf"}
    assert asker("png", "interpolate", **path).startswith(b"\x89PNG")
    with pytest.raises(RefusedError, match="rows of moons-maf are no pictures"):
        asker("png", "sample", model="moons-maf")
    with pytest.raises(TypeError, match="z: expected an array of numbers"):
        asker("png", "decode", z=["a"])
    other = make("http://server", lambda _: httpx.Response(200, content=b"<p>"), model="m")
    with pytest.raises(UnreadableError, match="expected a file in PNG, got '<p>'"):
        other("png", "sample")


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
    assert error.extra.keys() == {"row", "rows", "column", "bounds", "request_id"}


def test_what_the_server_refuses_is_said_in_its_words(real: Make) -> None:
    asker = real(model="moons-maf")
    for question, status, words in (
        (("log_prob", X[:, :1]), 400, r"x: expected N × 2 numbers, got shape \(2, 1\)"),
        (("log_prob", X[:0, :1]), 400, r"got shape \(0, 1\)"),
        (("log_prob", 1.0), 400, r"got shape \(\)"),
        (("log_prob", [[np.nan, 0]]), 400, "finite float32"),
        (("log_prob", [[1e39, 0]]), 400, "finite float32"),
        (("log_prob", X, [[1]]), 400, "conditional on nothing"),
        (("sample", -1), 400, "expected at least 0"),
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


@pytest.mark.parametrize(
    "url", ["localhost:8000", "htp://localhost", "http://[::1", "http://h:none", "http://a\nb", ""]
)
def test_an_address_that_is_none_is_said_to_be(make: Make, url: str) -> None:
    asker = make(url, model="moons", retries=0)
    for question in (("log_prob", X), ("models",), ("ready",)):
        with pytest.raises(UnreachableError, match=r"InvalidURL|UnsupportedProtocol") as found:
            asker(*question)
        assert not found.value.may_pass


def test_many_parts_are_one_answer(real: Make) -> None:
    whole, parted = (real(model="moons-context", rows_per_request=n) for n in (10_000, 7))
    context = np.stack([np.linspace(-1, 1, 200), np.arange(200) % 2], 1)
    for given in (context, context[0], context[:1]):
        one, many = (asker("encode", MOONS, given) for asker in (whole, parted))
        assert isinstance(many, Encoded)
        np.testing.assert_allclose(many.z, one.z, atol=1e-5)
        np.testing.assert_allclose(many.log_prob, one.log_prob, atol=1e-5)
        back = parted("decode", many.z, given)
        assert isinstance(back, Decoded)
        np.testing.assert_allclose(back.x, MOONS, atol=1e-4)
    for wrong in (context[:199], context[:7], np.tile(context, (2, 1)), context[:0]):
        with pytest.raises(RefusedError, match="context: expected"):
            parted("log_prob", MOONS, wrong)


def test_many_questions_at_a_time_of_one_client(client: httpx.Client) -> None:
    async def together() -> list[Numbers]:
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


def test_a_call_ends_in_time_though_an_answer_goes_on_and_on(make: Make) -> None:
    ended = threading.Event()

    def trickle(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(TRICKLE)
            while not ended.wait(0.02):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: trickle(server.accept()[0]))
        thread.start()
        asker = make(f"http://127.0.0.1:{server.getsockname()[1]}", model="moons", timeout=0.15)
        started = time.monotonic()
        with pytest.raises(TimedOutError, match="too slowly"):
            asker("log_prob", X)
        assert 0.1 < time.monotonic() - started < 2
        ended.set()
        thread.join()
