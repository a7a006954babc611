"""Other ways to ask by the Open Inference Protocol: bodies made apart, raw bodies, contexts."""

from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.contexts import CODED, CONTEXT, DIGITS, IMAGES
from tests.helpers.contexts import X as ROWS
from tests.helpers.http import ask
from tests.helpers.open_inference import (
    Caller,
    Client,
    X,
    assert_same,
    tensor,
    wanted,
)

LENGTH = "Inference-Header-Content-Length"


def read(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    length = answer.headers.get(LENGTH)
    return Client.parse_response_body(
        answer.content, header_length=None if length is None else int(length)
    )


@pytest.mark.parametrize("binary", [True, False])
def test_bodies_made_and_read_apart(native: httpx.Client, binary: bool) -> None:
    body, length = Client.generate_request_body(
        [tensor("x", X, binary)], outputs=wanted("z", "log_prob", binary=binary), request_id="7"
    )
    headers = {} if length is None else {LENGTH: str(length)}
    result = read(native.post("/v2/models/moons-maf/infer", content=body, headers=headers))
    assert_same(result, ask(native, "/encode", model="moons-maf", x=X.tolist()), "z", "log_prob")
    assert result.get_response()["id"] == "7"


def test_raw_bodies(native: httpx.Client) -> None:
    def post(model: str, body: bytes) -> httpx.Response:
        return native.post(f"/v2/models/{model}/infer", content=body, headers={LENGTH: "0"})

    encoded = ask(native, "/encode", model="moons-maf", x=X.tolist())
    assert_same(read(post("moons-maf", X.tobytes())), encoded, "log_prob", "z")
    assert len(read(post("moons-maf.sample", np.array([5]).tobytes())).as_numpy("x")) == 5
    for model, body, words in [
        ("moons-maf", X.tobytes()[:-1], "a raw body is a multiple of 8 bytes, 55 came"),
        ("moons-maf.sample", b"", "a raw body is 8 bytes, 0 came"),
        ("moons-maf.sample", np.array([5, 5]).tobytes(), "a raw body is 8 bytes, 16 came"),
        ("moons-context", X.tobytes(), "a raw body is one input, and this model has x, context"),
    ]:
        refused = post(model, body)
        assert refused.status_code == 400
        assert words in refused.json()["error"]


@pytest.mark.parametrize("binary", [True, False])
def test_contexts_as_numbers_and_as_names(call: Caller, native: httpx.Client, binary: bool) -> None:
    x = np.array(ROWS, np.float32)
    named = np.array([[str(value) for value in row] for row in CONTEXT], object)
    expected = ask(native, "/encode", model="moons-context", x=ROWS, context=CONTEXT)
    drawn = ask(native, "/sample", model="moons-context", n=3, seed=2, context=CONTEXT)
    for context in (CODED, named):
        inputs = [tensor("x", x, binary), tensor("context", context, binary)]
        assert_same(call("infer", "moons-context", inputs), expected, "z", "log_prob")
        inputs[0] = tensor("n", np.array([3]), not binary)  # of both kinds in one request
        same = call("infer", "moons-context.sample", inputs[::-1], parameters={"seed": 2})
        assert_same(same, drawn, "x", "log_prob")


def test_a_label_without_names_and_an_image(call: Caller, native: httpx.Client) -> None:
    rows = IMAGES[:4].astype(np.float32)
    expected = ask(
        native, "/encode", model="digits-image", x=rows.tolist(), context=DIGITS[:4].tolist()
    )
    contexts: list[NDArray[Any]] = [
        DIGITS[:4].astype(np.float32),
        DIGITS[:4],
        DIGITS[:4].astype(str).astype(object),
    ]
    for context in contexts:
        result = call("infer", "digits-image", [tensor("x", rows), tensor("context", context)])
        assert_same(result, expected, "z", "log_prob")
    for wrong, words in [
        (np.array([["cat"]] * 4, object), "row 0, column 0 is 'cat', expected 'digit', one of 0,"),
        (np.full((4, 1), 12), "row 0, column 0 is 12"),
        (np.full((3, 1), 1), "expected 4 × 1 values"),
    ]:
        given = [tensor("x", rows), tensor("context", wrong)]
        status, said = call.refused("infer", "digits-image", given)
        assert status == 400
        assert words in said
    status, said = call.refused("infer", "digits-image", [tensor("x", rows)])
    assert (status, said[:19]) == (400, "context is missing:")


def test_several_at_once_by_greenlets(native: httpx.Client) -> None:
    url = native.base_url.netloc.decode()
    with Client(url, concurrency=4) as client:
        later = [client.async_infer("moons-maf", [tensor("x", X[:n])]) for n in range(1, 8)]
        found = [waited.get_result().as_numpy("z") for waited in later]
    together = ask(native, "/encode", model="moons-maf", x=X.tolist())["z"]
    for n, z in enumerate(found, 1):
        np.testing.assert_allclose(z, together[:n], atol=1e-5)
