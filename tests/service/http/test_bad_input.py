"""What callers and stores can get wrong: each gets its status and says what was expected."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.bundle import files as bundle
from tests.helpers.http import NPY, assert_problem, to_npy
from tests.helpers.recipes import call_bijecta, run_bijecta
from tests.helpers.stores import edit_manifest
from tests.stored.files import app

COPIED = ("digits-maf", "moons-iaf", "moons-maf")
"""Models of stores that tests write to."""

M = '"model": "moons-maf"'
DEEP = "[" * 1000 + "]" * 1000

# endpoint, body, status, words of the detail
BAD: list[tuple[str, str, int, str]] = [
    ("/log_prob", '{"x": [[1, 2]]}', 422, "say which model: one of digits-image, digits-maf"),
    ("/log_prob", '{"model": "nope", "x": [[1, 2]]}', 404, "no model 'nope': there are digits"),
    ("/log_prob", f'{{{M}, "version": 7, "x": [[1, 2]]}}', 404, "no version 7: there are 1"),
    (
        "/log_prob",
        f'{{{M}, "version": 0, "x": [[1, 2]]}}',
        422,
        "version: expected at least 1, got 0",
    ),
    ("/log_prob", f"{{{M}}}", 422, "x is missing"),
    ("/log_prob", f'{{{M}, "x": [[1, 2]], "y": 1}}', 422, "y is not known"),
    ("/log_prob", f'{{{M}, "x": [[1, 2, 3]]}}', 422, "expected N × 2 numbers, got shape (1, 3)"),
    ("/log_prob", f'{{{M}, "x": [1, 2]}}', 422, "expected N × 2 numbers, got shape (2,)"),
    ("/log_prob", f'{{{M}, "x": [[]]}}', 422, "expected N × 2 numbers, got shape (1, 0)"),
    ("/log_prob", f'{{{M}, "x": [[]]}}', 422, "expected N × 2 numbers, got shape (1, 0)"),
    ("/log_prob", f'{{{M}, "x": 3}}', 422, "expected N × 2 numbers, got shape ()"),
    ("/log_prob", f'{{{M}, "x": [[1, 2], [3]]}}', 422, "[1] has 1 values where [0] has 2"),
    ("/log_prob", f'{{{M}, "x": [[1, 2], 3]}}', 422, "[1] is the number 3 where [0] is an array"),
    ("/log_prob", f'{{{M}, "x": [["1", 2]]}}', 422, "[0][0] is the string '1'"),
    ("/log_prob", f'{{{M}, "x": "rows"}}', 422, "this is the string 'rows'"),
    ("/log_prob", f'{{{M}, "x": {{"a": 1}}}}', 422, "this is an object"),
    ("/log_prob", f'{{{M}, "x": null}}', 422, "this is null"),
    ("/log_prob", f'{{{M}, "x": [[1, null]]}}', 422, "[0][1] is null"),
    ("/log_prob", f'{{{M}, "x": [[1, true]]}}', 422, "[0][1] is true"),
    ("/log_prob", f'{{{M}, "x": [[1, NaN]]}}', 422, "[0][1] is nan"),
    ("/log_prob", f'{{{M}, "x": [[1, 1e999]]}}', 422, "[0][1] is inf"),
    ("/log_prob", f'{{{M}, "x": [[1, -1e39]]}}', 422, "[0][1] is -1e+39"),
    ("/log_prob", f'{{{M}, "x": [[1, {"9" * 400}]]}}', 422, "one has hundreds of digits"),
    ("/log_prob", f'{{{M}, "x": {"[" * 70}1{"]" * 70}}}', 422, "nested too deeply"),
    ("/log_prob", f'{{{M}, "x": ["{"a" * 100_000}", {",".join(["1"] * 100_000)}]}}', 422, "string"),
    ("/log_prob", f'{{{M}, "x": [[1, 1{"0" * 20}]]}}', 422, "no finite answer"),
    ("/log_prob", f'{{{M}, "x": [[1, 2]], "dequantize": 2}}', 422, "not whole numbers"),
    ("/log_prob", f'{{{M}, "x": [[1, 2]], "seed": 2}}', 422, "nothing here is random"),
    ("/log_prob", f'{{{M}, "x": [[1, 2]], "seed": {DEEP}}}', 422, "seed: expected a whole number"),
    ("/log_prob", f'{{{M}, "x": [[1, 2]], "context": {DEEP}}}', 422, "nested too deeply"),
    ("/log_prob", f"{{{M}", 400, "not JSON"),
    ("/log_prob", "[[1, 2]]", 400, "expected a JSON object, got an array"),
    ("/log_prob", "[" * 10_000, 400, "not JSON"),
    ("/encode", f'{{{M}, "x": [[1e38, 1]]}}', 422, "no finite answer"),
    ("/decode", f'{{{M}, "z": [[1]]}}', 422, "expected N × 2 numbers, got shape (1, 1)"),
    ("/decode", f'{{{M}, "x": [[1, 2]]}}', 422, "z is missing"),
    ("/decode", f'{{{M}, "z": [[1e30, 0]]}}', 422, "no finite answer"),
    ("/sample", f'{{{M}, "n": -1}}', 422, "n: expected at least 0"),
    ("/sample", f'{{{M}, "n": "5"}}', 422, "n: expected a whole number, got '5'"),
    ("/sample", f'{{{M}, "n": 2.5}}', 422, "n: expected a whole number"),
    ("/sample", f'{{{M}, "n": 100000000}}', 413, "n is 100000000, more than the 1000 allowed"),
    ("/sample", f'{{{M}, "seed": -1}}', 422, "seed: expected at least 0"),
    ("/sample", f'{{{M}, "temperature": 0}}', 422, "temperature: expected more than 0"),
    ("/sample", f'{{{M}, "temperature": 1e999}}', 422, "temperature"),
    ("/sample", f'{{{M}, "quantize": true}}', 422, "not whole numbers"),
    ("/interpolate", f'{{{M}, "start": [0, 1]}}', 422, "end is missing"),
    ("/interpolate", f'{{{M}, "start": [0], "end": [1, 1]}}', 422, "start: expected one row of"),
    ("/interpolate", f'{{{M}, "start": [0, 0], "end": [1, 1], "steps": 1}}', 422, "steps: "),
    ("/interpolate", f'{{{M}, "start": [0, 0], "end": [1, 1], "path": "arc"}}', 422, "path: "),
]


@pytest.mark.parametrize(("endpoint", "body", "status", "words"), BAD)
def test_bad_json(limited: httpx.Client, endpoint: str, body: str, status: int, words: str) -> None:
    assert_problem(limited.post(endpoint, content=body), status, words)
    assert limited.post("/log_prob", content=f'{{{M}, "x": [[0, 0]]}}').status_code == 200


BAD_NPY: list[tuple[str, bytes, int, str]] = [
    ("/log_prob", b"not npy at all", 400, "not an npy array"),
    ("/log_prob", to_npy(np.zeros((2, 2)))[:-3], 400, "not an npy array"),
    ("/log_prob", to_npy(np.zeros((2, 2))) + b"!", 400, "1 bytes follow"),
    ("/log_prob", to_npy(np.array([["a", "b"]])), 422, "its dtype is <U1"),
    ("/log_prob", to_npy(np.array([[None, 1]], object)), 400, "not an npy array"),
    ("/log_prob", to_npy(np.zeros((2, 2), complex)), 422, "its dtype is complex128"),
    ("/log_prob", to_npy(np.array([[True, False]])), 422, "its dtype is bool"),
    ("/log_prob", to_npy(np.zeros((0, 3))), 422, "expected N × 2 numbers, got shape (0, 3)"),
    ("/log_prob", to_npy(np.array([[np.inf, 0]])), 422, "[0][0] is inf"),
    ("/log_prob", to_npy(np.array([[1e300, 0]])), 422, "[0][0] is 1e+300"),
    ("/log_prob", to_npy(np.zeros((1001, 2), np.float32)), 413, "1001 rows are more than the 1000"),
    ("/sample", to_npy(np.zeros(3)), 422, "conditional on nothing"),
    ("/interpolate", to_npy(np.zeros((3, 2))), 422, "expected 2 × event shape"),
]


@pytest.mark.parametrize(("endpoint", "body", "status", "words"), BAD_NPY)
def test_bad_npy(
    limited: httpx.Client, endpoint: str, body: bytes, status: int, words: str
) -> None:
    query, headers = {"model": "moons-maf"}, {"content-type": NPY}
    answer = limited.post(endpoint, content=body, params=query, headers=headers)
    assert_problem(answer, status, words)


def test_bodies_over_the_limit_are_refused_announced_or_not(limited: httpx.Client) -> None:
    too_much = b" " * (2**20 + 1)

    def chunks() -> Any:
        yield too_much

    assert_problem(limited.post("/log_prob", content=too_much), 413, "may have 1048576 bytes")
    assert_problem(limited.post("/log_prob", content=chunks()), 413, "may have 1048576 bytes")


def test_other_wrong_requests(limited: httpx.Client) -> None:
    html = {"content-type": "text/html"}
    assert_problem(limited.post("/log_prob", content="1,2", headers=html), 415, "got text/html")
    assert_problem(limited.get("/log_prob"), 405, "Method Not Allowed")
    assert_problem(limited.get("/nothing"), 404, "see /docs")
    assert_problem(limited.get("/models/nope"), 404, "no model 'nope'")
    assert_problem(limited.get("/models/moons-maf?version=two"), 422, "version")
    body = f'{{{M}, "x": [[0, 0]]}}'
    assert_problem(
        limited.post("/log_prob?version=1", content=body), 422, "version belongs into it"
    )
    untyped = limited.post("/log_prob?model=moons-maf", content=to_npy(np.zeros((1, 2))))
    assert_problem(untyped, 422, "say so with Content-Type: application/x-npy")
    flat = f'{{{M}, "x": [0, 0]}}'
    assert_problem(limited.post("/log_prob", content=flat), 422, "a single row is written [x]")
    misspelt = f'{{{M}, "x": [[0, 0]], "sed": 1}}'
    answer = limited.post("/log_prob", content=misspelt)
    assert_problem(answer, 422, "sed is not known here: is seed meant?")
    npy = {"accept": NPY}
    answer = limited.post("/log_prob?output=w", content=body, headers=npy)
    assert_problem(answer, 422, "there is no 'w', only log_prob")
    answer = limited.post("/log_prob?output=w", content=body)
    assert_problem(answer, 422, "there is no 'w', only log_prob")


@pytest.mark.parametrize(
    "path", ["/models", "/models/moons-maf", "/metrics", "/v2/health/ready", "/health/live", "/v2"]
)
def test_heads_are_asked_for_wherever_bodies_are(limited: httpx.Client, path: str) -> None:
    whole, head = limited.get(path), limited.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert limited.head("/log_prob").status_code == 405


@pytest.mark.parametrize("path", ["/models/", "/log_prob/", "/health/ready/"])
def test_nobody_is_sent_elsewhere(limited: httpx.Client, path: str) -> None:
    for method in ("GET", "POST"):
        answer = limited.request(method, path, headers={"host": "elsewhere.example"})
        assert "location" not in answer.headers
        assert_problem(answer, 404, f"{path}: Not Found")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_in_manifest(old: str, new: str) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        text = (path / "manifest.json").read_text()
        assert old in text
        (path / "manifest.json").write_text(text.replace(old, new, 1))

    return replace


CORRUPTIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped byte in a graph": (lambda p: flip_a_byte(p / "decode.onnx"), "decode.onnx is altered"),
    "missing graph": (lambda p: (p / "encode.onnx").unlink(), "encode.onnx is missing"),
    "missing manifest": (lambda p: (p / "manifest.json").unlink(), "manifest.json is missing"),
    "manifest cut off": (
        lambda p: (p / "manifest.json").write_text('{"format_version": 1'),
        "manifest.json is damaged",
    ),
    "wrong format version": (edit_manifest({"format_version": 3}), "has format_version 3"),
    "unlisted graph": (edit_manifest({"files": {}}), "lists no checksum for encode.onnx"),
    "another name": (edit_manifest({"name": "other"}), "holds the manifest of other"),
    "changed figure": (replace_in_manifest('"rows": 180', '"rows": 181'), "is altered"),
    "support of another length": (
        edit_manifest({"support": {"low": [0, 0], "high": 1}}),
        "support has 2 values for 64 coordinates",
    ),
    "columns that are not there": (
        edit_manifest({"dequantization": {"columns": [64], "low": 0, "high": 1}}),
        "columns beyond the 64",
    ),
    "unknown key": (edit_manifest({"surprise": 1}), "surprise"),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corrupted_bundle_is_refused(store: Path, tmp_path: Path, corruption: str) -> None:
    damage, words = CORRUPTIONS[corruption]
    folder = tmp_path / "digits-maf" / "1"
    shutil.copytree(store / "digits-maf" / "1", folder)
    bundle.read(folder)
    damage(folder)
    with pytest.raises(bundle.BundleError, match=words):
        bundle.read(folder)


def test_a_server_goes_on_with_the_models_that_are_sound(store: Path, tmp_path: Path) -> None:
    for name in COPIED:
        shutil.copytree(store / name, tmp_path / name)
    flip_a_byte(tmp_path / "digits-maf" / "1" / "encode.onnx")
    newer = tmp_path / "moons-maf" / "2"
    shutil.copytree(tmp_path / "moons-maf" / "1", newer)
    (newer / "decode.onnx").unlink()
    with app(tmp_path) as client:
        x = [[0.0, 0.5]]
        answer = client.post("/log_prob", json={"model": "moons-maf", "x": x}).json()
        assert answer["version"] == 1
        refused = client.post("/log_prob", json={"model": "moons-maf", "version": 2, "x": x})
        assert_problem(refused, 503, "manifest of moons-maf version 1")
        digits = client.post("/log_prob", json={"model": "digits-maf", "x": x})
        assert_problem(digits, 503, "encode.onnx is altered")
        assert client.head("/health/ready").status_code == 200
        reasons = {(r["name"], r["version"]) for r in client.get("/models").json()["refused"]}
        assert reasons == {("digits-maf", 1), ("moons-maf", 2)}


def test_graphs_of_another_shape_and_a_refused_default_answer_503(
    store: Path, tmp_path: Path
) -> None:
    for name in COPIED:
        shutil.copytree(store / name, tmp_path / name)
    path = tmp_path / "moons-maf" / "1"
    graphs = {k: v for k, v in bundle.read(path).files.items() if k.endswith(".onnx")}
    shapes = {"event_shape": [3], "latent_shape": [3], "self_test": None, "files": graphs}
    edit_manifest(shapes)(path)
    (tmp_path / "Not-a-name" / "1").mkdir(parents=True)
    with app(tmp_path, default_model="moons-maf") as client:
        assert_problem(client.post("/sample", json={}), 503, "could not be loaded")
        assert client.post("/sample", json={"model": "moons-iaf"}).status_code == 200


def test_serve_refuses_what_it_cannot_start_with(store: Path, tmp_path: Path) -> None:
    # settings are refused before there is a server
    refusals: list[tuple[Any, list[str | Path], str]] = [
        (
            call_bijecta,
            ["--store", tmp_path / "none"],
            f"bijecta: there is no store at {tmp_path / 'none'} (--store, BIJECTA_STORE): ",
        ),
        (
            run_bijecta,
            ["--store", store, "--default-model", "nope"],
            "the default model 'nope' is none of",
        ),
        (
            call_bijecta,
            ["--store", store, "--workers", "0"],
            "bijecta: workers: expected at least 1, got '0' (--workers, BIJECTA_WORKERS)",
        ),
        (call_bijecta, ["--store", store, "--max-rows", "0"], "max_rows: expected at least 1, got"),
        (
            call_bijecta,
            ["--store", store, "--device", "tpu"],
            "device: expected auto, cpu, cpu:n, cuda, cuda:n or several of these with commas",
        ),
    ]
    for run, options, words in refusals:
        done = run("serve", *options, cwd=tmp_path)
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        if words.startswith("bijecta: "):
            assert done.stderr.count("\n") == 1


def test_cuda_refuses_to_start_where_there_is_none(store: Path, tmp_path: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    done = run_bijecta("serve", "--store", store, "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 1
    assert "bijecta: device cuda:0 was asked for" in done.stderr


def test_an_unknown_command_or_option_is_named(tmp_path: Path) -> None:
    done = call_bijecta("serve", "--colour", "red", cwd=tmp_path)
    assert done.returncode == 2
    assert "--colour red" in done.stderr
