"""What callers can get wrong by the Open Inference Protocol: an error that says so, never a 500."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.helpers.limited import asked, assert_goes_on, assert_refused, x

LENGTH = "Inference-Header-Content-Length"
ROW = np.array([[0.5, -0.5]], np.float32).tobytes()


def as_bytes(size: Any = 8, **change: Any) -> dict[str, Any]:
    return x(data=None, parameters={"binary_data_size": size}, **change)


NESTED = "its data is nested as"
# body, status, words of the error
BAD: list[tuple[str, int, str]] = [
    ("", 400, "not JSON"),
    ("{", 400, "not JSON"),
    ("[" * 5000, 400, "not JSON"),
    ("[]", 400, "valid dictionary"),
    ("{}", 400, "inputs is missing"),
    ('{"inputs": {}}', 400, "inputs: expected a list"),
    (asked(), 400, "inputs: List should have at least 1 item"),
    (asked(*[x()] * 17), 400, "inputs: List should have at most 16 items"),
    (asked(x(), id=3), 400, "id: expected text, got 3"),
    (
        asked(x(), parameters={"a": [1]}),
        400,
        "parameters: a is an array, expected a string, a number",
    ),
    (asked(x(), parameters=[]), 400, "parameters: expected an object; this is an array"),
    (asked(x(), parameters=dict.fromkeys(map(str, range(65)))), 400, "at most 64; these are 65"),
    (asked(x()).replace('"x"', "[" * 1000 + "]" * 1000), 400, "name: expected text"),
    ("[" * 1000 + "]" * 1000, 400, "valid dictionary"),
    (asked(x(), parameters={"timeout": "soon"}), 400, "timeout: expected microseconds, got 'soon'"),
    (asked(x(), parameters={"timeout": True}), 400, "timeout: expected microseconds, got True"),
    (asked(x(), parameters={"seed": 1}), 400, "parameter seed has no use here"),
    (asked(x(), outputs=[{"name": "w"}]), 400, "there is no output 'w', only log_prob, z, "),
    (asked(x(), outputs=[{}]), 400, "outputs.0.name is missing"),
    (asked(x(name=None)), 400, "inputs.0.name is missing"),
    (asked(x(name="y")), 400, "there is no input 'y', only x"),
    (asked(x(), x(name="y")), 400, "there is no input 'y', only x"),
    (asked(x(name="model")), 400, "there is no input 'model'"),
    (asked(x(name="context")), 400, "input 'x' is missing"),
    (asked(x(), x(name="context")), 400, "conditional on nothing"),
    (asked(x(), x()), 400, "input 'x' is there twice"),
    (asked(x(datatype="FP99")), 400, "datatype: expected one of INT8, INT16"),
    (asked(x(datatype="BOOL")), 400, "this is the string 'BOOL'"),
    (asked(x(datatype=7)), 400, "this is the number 7"),
    (asked(x(datatype="BYTES", data=["a", "b"])), 400, "x: expected an array of numbers"),
    (asked(x(datatype="BYTES", data=["a", 1])), 400, "expected BYTES; [1] is the number 1"),
    (asked(x(datatype="BYTES", shape=[2, 1], data=[["a"], "b"])), 400, "[1] is the string 'b'"),
    (asked(x(shape=None)), 400, "inputs.0.shape is missing"),
    (asked(x(shape=[-1, 2])), 400, "shape.0: expected at least 0, got -1"),
    (asked(x(shape=[1, "2"])), 400, "shape.1: expected a whole number"),
    (asked(x(shape=[1, True])), 400, "shape.1: expected a whole number"),
    (asked(x(shape=[1.0, 2])), 400, "shape.0: expected a whole number"),
    (asked(x(shape=[1] * 33)), 400, "shape: List should have at most 32 items"),
    (asked(x(shape=[2**63, 1])), 400, "shape.0: expected less than"),
    (asked(x(shape=[2**62] * 32)), 400, "values, 2 came"),
    (asked(x(shape=[0, 2**62, 2**62], data=[])), 400, "shape [0, 4611686018427387904, "),
    (asked(x(shape=[0, 3], data=[])), 400, "expected N × 2 numbers, got shape (0, 3)"),
    (asked(x(shape=[], data=[1])), 400, "expected N × 2 numbers, got shape ()"),
    (asked(x(shape=[2])), 400, "expected N × 2 numbers, got shape (2,)"),
    (asked(x(shape=[1, 3], data=[1, 2, 3])), 400, "expected N × 2 numbers, got shape (1, 3)"),
    (asked(x(shape=[2, 2])), 400, "shape [2, 2] holds 4 values, 2 came"),
    (asked(x(data=None)), 400, "neither data nor binary_data_size"),
    (asked(x(data=3)), 400, "expected data as an array; this is the number 3"),
    (asked(x(data={"a": 1})), 400, "this is an object"),
    (asked(x(data="12")), 400, "this is the string '12'"),
    (asked(x(data=["1", 2])), 400, "expected FP32; [0] is the string '1'"),
    (asked(x(data=[1, None])), 400, "expected FP32; [1] is null"),
    (asked(x(data=[1, True])), 400, "expected FP32; [1] is true"),
    (asked(x(data=[[False, 1]])), 400, "expected FP32; [0][0] is false"),
    (asked(x(data=[1, True]), id="true"), 400, "expected FP32; [1] is true"),
    (asked(x(data=[1, True]), parameters={"binary_data_output": True}), 400, "[1] is true"),
    (asked(x(data=[1, {"a": {}}])), 400, "expected FP32; [1] is an object"),
    (asked(x(data=[[1, {}]])), 400, "expected FP32; [0][1] is an object"),
    (asked(x(data=[1, [2]])), 400, "[1] is an array where [0] is the number 1"),
    (asked(x(data=[[1], 2])), 400, "[1] is the number 2 where [0] is an array"),
    (asked(x(data=[[1, 2], [3]])), 400, "[1] has 1 values where [0] has 2"),
    (asked(x(data=[[1, 2, 3], [4]], shape=[2, 2])), 400, "[1] has 1 values where [0] has 3"),
    (asked(x(data=[[1], [2]])), 400, f"its shape is [1, 2], {NESTED} [2, 1]"),
    (asked(x(data=[[[1, 2]]])), 400, f"{NESTED} [1, 1, 2]"),
    (asked(x()).replace("[0.5, -0.5]", "[" * 70 + "1" + "]" * 70), 400, "nested too deeply"),
    (asked(x()).replace("[0.5, -0.5]", "[" * 900 + "1" + "]" * 900), 400, "nested too deeply"),
    (asked(x(data=[1, float("nan")])), 400, "inputs[0].data[1] is NaN: JSON has no such number"),
    (asked(x(data=[[1], [-float("inf")]])), 400, "inputs[0].data[1][0] is -Infinity"),
    (asked(x(), parameters={"a": float("inf")}), 400, "parameters.a is Infinity"),
    ('{"inputs": NaN, ', 400, "not JSON"),
    (asked(x(name="NaN")) + "}", 400, "not JSON"),
    (asked(x(data=[1, 1e39])), 400, "expected FP32; a value is out of range"),
    (asked(x(data=[1, 1e39], datatype="FP64")), 400, "[0][1] is 1e+39"),
    (asked(x(data=[1, 1e5], datatype="FP16")), 400, "expected FP16; a value is out of range"),
    (asked(x(data=[1, 2.0], datatype="INT64")), 400, "expected INT64; [1] is the number 2.0"),
    (asked(x(data=[1, True], datatype="INT64")), 400, "expected INT64; [1] is true"),
    (asked(x(data=[1, 300], datatype="INT8")), 400, "expected INT8; a value is out of range"),
    (asked(x(data=[1, -1], datatype="UINT64")), 400, "expected UINT64; a value is out of range"),
    (asked(x(data=[1, 2**63], datatype="INT64")), 400, "expected INT64; a value is out of range"),
    (asked(x(data=[1, 2**70], datatype="UINT64")), 400, "expected UINT64; [1] is the number 1.18"),
    (asked(x(data=[0] * 2002, shape=[1001, 2])), 413, "1001 rows are more than the 1000 allowed"),
    (asked(x(data=None, parameters={"shared_memory_region": "a"})), 400, "shared_memory_region is"),
    (asked(as_bytes()), 400, "binary_data_size: expected 0 to 0, the bytes left, got 8"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD)
def test_bad_json(limited: httpx.Client, body: str, status: int, words: str) -> None:
    answer = limited.post("/v2/models/moons-maf/infer", content=body)
    assert_refused(answer, status, words)
    assert_goes_on(limited)


def text(value: str) -> bytes:
    return len(value.encode()).to_bytes(4, "little") + value.encode()


# JSON, what follows it, words of the error
BAD_BYTES: list[tuple[str, bytes, str]] = [
    (asked(as_bytes(16)), ROW, "binary_data_size: expected 0 to 8, the bytes left, got 16"),
    (asked(as_bytes(-8)), ROW, "expected 0 to 8, the bytes left, got -8"),
    (asked(as_bytes(True)), ROW, "expected 0 to 8, the bytes left, got True"),
    (asked(as_bytes("8")), ROW, "expected 0 to 8, the bytes left, got '8'"),
    (asked(as_bytes(8.0)), ROW, "expected 0 to 8, the bytes left, got 8.0"),
    (asked(as_bytes(4)), ROW, "FP32 of shape [1, 2] are 8 bytes, 4 came"),
    (asked(as_bytes()), ROW + b"!", "1 bytes belong to no input"),
    (asked(as_bytes()), ROW[:-1], "expected 0 to 7, the bytes left, got 8"),
    (asked(as_bytes()), b"", "expected 0 to 0, the bytes left, got 8"),
    (asked(x()), ROW, "8 bytes belong to no input"),
    (asked(x(parameters={"binary_data_size": 8})), ROW, "both data and binary_data_size"),
    (asked(x(data=None)), ROW, "neither data nor binary_data_size"),
    (asked(as_bytes(shape=[2, 2])), ROW, "FP32 of shape [2, 2] are 16 bytes"),
    (asked(as_bytes(shape=[1, 1], datatype="FP64")), ROW, "expected N × 2 numbers"),
    (asked(as_bytes()), np.array([[1, np.nan]], "<f4").tobytes(), "[0][1] is nan"),
    (asked(as_bytes()), np.array([[np.inf, 1]], "<f4").tobytes(), "[0][0] is inf"),
    (
        asked(as_bytes(datatype="BYTES")),
        b"\xff" * 8,
        "a text of 4294967295 bytes, where 4 are left",
    ),
    (asked(as_bytes(7, datatype="BYTES")), b"\2\0\0\0ab\0", "expected lengths of 4 bytes"),
    (asked(as_bytes(6, datatype="BYTES")), b"\2\0\0\0\xff\xff", "can't decode"),
    (asked(as_bytes(5, datatype="BYTES")), text("a"), "shape [1, 2] holds 2 values, 1 came"),
    (asked(as_bytes(10, datatype="BYTES")), text("a") + text("b"), "expected an array of numbers"),
]


@pytest.mark.parametrize(("body", "tail", "words"), BAD_BYTES)
def test_bad_bytes(limited: httpx.Client, body: str, tail: bytes, words: str) -> None:
    answer = limited.post(
        "/v2/models/moons-maf/infer",
        content=body.encode() + tail,
        headers={LENGTH: str(len(body))},
    )
    assert_refused(answer, 400, words)
    assert_goes_on(limited)


WHOLE = asked(as_bytes()).encode() + ROW


@pytest.mark.parametrize(
    "length",
    ["abc", "-1", "99999999999", "9" * 5000, "1.5", "+8", "0x10", str(len(WHOLE) + 1), "²"],
)
def test_header_lengths_that_are_none(limited: httpx.Client, length: str) -> None:
    headers = [(LENGTH.encode(), length.encode("latin-1"))]
    answer = limited.post("/v2/models/moons-maf/infer", content=WHOLE, headers=headers)
    assert_refused(answer, 400, f"{LENGTH}: expected 0 to {len(WHOLE)}")
    assert_goes_on(limited)


@pytest.mark.parametrize("length", [str(len(WHOLE)), str(len(WHOLE) - 9), "1", "00", None])
def test_header_lengths_of_another_body(limited: httpx.Client, length: str | None) -> None:
    headers = {} if length is None else {LENGTH: length}
    answer = limited.post("/v2/models/moons-maf/infer", content=WHOLE, headers=headers)
    assert_refused(answer, 400, "not JSON")
    assert_goes_on(limited)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nope", "no model 'nope'"),
        ("moons-maf.score", "no model 'moons-maf.score': expected one of moons-maf, moons-maf.dec"),
        ("moons-maf.", "no model 'moons-maf.'"),
        ("moons-maf.decode.decode", "no model"),
        ("a" * 5000, "no model"),
        ("moons-maf/versions/7", "no version 7: there are 1"),
        ("moons-maf/versions/0", "no version '0': expected a whole number from 1"),
        ("moons-maf/versions/one", "no version 'one'"),
        ("moons-maf/versions/" + "9" * 5000, "no version"),
    ],
)
def test_models_and_versions_that_are_not_there(
    limited: httpx.Client, path: str, words: str
) -> None:
    post = limited.post(f"/v2/models/{path}/infer", content=asked(x()))
    assert_refused(post, 404, words)
    for question in ("", "/ready", "/config", "/stats"):
        assert_refused(limited.get(f"/v2/models/{path}{question}"), 404, words)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"shape": [], "data": [3]}, 400, "n: expected INT64 of shape [1], got int64 of shape []"),
        ({"shape": [2], "data": [3, 3]}, 400, "n: expected INT64 of shape [1]"),
        ({"datatype": "FP32"}, 400, "n: expected INT64 of shape [1], got float32"),
        ({"datatype": "BYTES", "data": ["3"]}, 400, "n: expected INT64 of shape [1]"),
        ({"data": [0]}, 200, ""),
        ({"data": [-3]}, 400, "n: expected at least"),
        ({"data": [1001]}, 413, "n is 1001, more than the 1000 allowed"),
        ({"data": [2**62]}, 413, "more than the 1000 allowed"),
        ({"name": "x"}, 400, "there is no input 'x', only n"),
        ({"parameters": {"seed": 1}}, 200, ""),  # parameters of an input are not the request's
    ],
)
def test_bad_samples(
    limited: httpx.Client, change: dict[str, Any], status: int, words: str
) -> None:
    n = {"name": "n", "shape": [1], "datatype": "INT64", "data": [3]}
    answer = limited.post("/v2/models/moons-maf.sample/infer", content=asked(n | change))
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    for set_ in ({"seed": -1}, {"seed": "1"}, {"seed": 2**64}, {"temperature": 0}, {"quantize": 1}):
        body = asked(n, parameters=set_)
        answer = limited.post("/v2/models/moons-maf.sample/infer", content=body)
        assert_refused(answer, 400, next(iter(set_)))


def test_other_wrong_requests(limited: httpx.Client) -> None:
    assert_refused(limited.get("/v2/models/moons-maf/infer"), 405, "Method Not Allowed")
    assert_refused(limited.get("/v2/nothing"), 404, "Not Found")
    late = {"X-Request-Timeout": "soon"}
    answer = limited.post("/v2/models/moons-maf/infer", content=asked(x()), headers=late)
    assert_refused(answer, 400, "X-Request-Timeout")
    too_much = b" " * (2**20 + 1)
    for path, most in (("models/moons-maf/infer", 2**20), ("repository/index", 2**16)):
        answer = limited.post(f"/v2/{path}", content=too_much)
        assert_refused(answer, 413, f"may have {most} bytes")
    assert_goes_on(limited)
