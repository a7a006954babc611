"""Triton's own clients, sync and aio, against a server of the Open Inference Protocol."""

from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers.http import DIGITS, ask
from tests.helpers.open_inference import Caller, X, assert_same, tensor, unsupported_output, wanted
from tests.helpers.recipes import RECIPES

SUFFIXES = ("", ".decode", ".sample")


def test_health_and_metadata(call: Caller) -> None:
    assert call("is_server_live")
    assert call("is_server_ready")
    assert call("is_model_ready", "moons-maf")
    assert call("is_model_ready", "moons-maf.sample", "1")
    assert not call("is_model_ready", "nope")
    assert not call("is_model_ready", "moons-maf", "2")
    server = call("get_server_metadata")
    assert server["name"] == "bijecta"
    assert {"binary_tensor_data", "model_configuration"} <= set(server["extensions"])
    found = call("get_model_metadata", "digits-image.decode")
    assert (found["name"], found["versions"]) == ("digits-image.decode", ["1"])
    image = {"name": "x", "datatype": "FP32", "shape": [-1, 1, 8, 8]}
    assert found["outputs"][0] == image
    assert {"name": "context", "datatype": "FP32", "shape": [-1, 1]} in found["inputs"]
    sample = call("get_model_metadata", "moons-maf.sample", "1")
    assert sample["inputs"] == [{"name": "n", "datatype": "INT64", "shape": [1]}]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_configuration_is_that_of_the_metadata(call: Caller, suffix: str) -> None:
    name = f"moons-context{suffix}"
    config, metadata = call("get_model_config", name), call("get_model_metadata", name)
    assert (config["name"], config["max_batch_size"]) == (name, 0)
    for ours, theirs in (("inputs", "input"), ("outputs", "output")):
        assert [
            {"name": t["name"], "data_type": f"TYPE_{t['datatype']}", "dims": t["shape"]}
            for t in metadata[ours]
        ] == config[theirs]


def test_statistics_of_one_model_and_of_all(call: Caller) -> None:
    def figures() -> tuple[int, int, int]:
        (found,) = call("get_inference_statistics", "moons-maf")["model_stats"]
        success = found["inference_stats"]["success"]
        return found["inference_count"], found["execution_count"], success["count"]

    before = figures()
    call("infer", "moons-maf", [tensor("x", X)])
    assert [b - a for a, b in zip(before, figures(), strict=True)] == [len(X), 1, 1]
    listed = call("get_inference_statistics")["model_stats"]
    assert {found["name"] for found in listed} == {m + s for m in RECIPES for s in SUFFIXES}
    assert call.refused("get_inference_statistics", "nope")[0] == 404


def test_a_model_is_unloaded_and_loaded_while_others_go_on(call: Caller) -> None:
    def states() -> dict[str, str]:
        listed = call("get_model_repository_index")
        assert {(m["name"], m["version"]) for m in listed} == {
            (m + s, "1") for m in RECIPES for s in SUFFIXES
        }
        return {m["name"]: m["state"] for m in listed}

    assert set(states().values()) == {"READY"}
    call("unload_model", "moons-iaf")
    try:
        now = states()
        assert {now.pop("moons-iaf" + s) for s in SUFFIXES} == {"UNAVAILABLE"}
        assert set(now.values()) == {"READY"}
        for suffix in SUFFIXES:
            name, n = f"moons-iaf{suffix}", np.array([2])
            status, words = call.refused("infer", name, [tensor("n", n)])
            assert (status, words) == (503, "model 'moons-iaf' has been unloaded")
            assert not call("is_model_ready", name)
        assert call("is_server_ready")
        call("infer", "moons-maf", [tensor("x", X)])
        assert call.refused("load_model", "moons-iaf", config="{}")[0] == 400
    finally:
        call("load_model", "moons-iaf.sample")  # a flow has one life, by whichever name
    assert set(states().values()) == {"READY"}
    call("infer", "moons-iaf", [tensor("x", X)])
    assert call.refused("load_model", "nope")[0] == 404
    assert call.refused("unload_model", "nope")[0] == 404


def test_loading_by_request_is_off_by_default(client: httpx.Client) -> None:
    for change in ("load", "unload"):
        answer = client.post(f"/v2/repository/models/moons-maf/{change}")
        assert (answer.status_code, "model-control" in answer.json()["error"]) == (403, True)


def test_the_index_of_those_that_answer(native: httpx.Client) -> None:
    # as Triton's tests send it: with a body, without a content type
    ready = native.post("/v2/repository/index", content='{"ready": true}').json()
    assert len(ready) == len(RECIPES) * len(SUFFIXES)
    for other in ("2", "0", '"yes"', "[]"):
        body = f'{{"ready": {other}}}'
        assert native.post("/v2/repository/index", content=body).status_code == 400


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer_says_the_same_as_the_native_endpoints(
    call: Caller, native: httpx.Client, binary_in: bool, binary_out: bool | None
) -> None:
    def infer(model: str, values: NDArray[Any], *names: str) -> Any:
        outputs = None if binary_out is None else wanted(*names, binary=binary_out)
        inputs = [tensor("z" if "decode" in model else "x", values, binary_in)]
        result = call("infer", model, inputs, outputs=outputs, request_id="r-1")
        answer = result.get_response()
        assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r-1", model, "1")
        assert [o["name"] for o in answer["outputs"]] == list(names)
        assert all(("data" in o) == (binary_out is False) for o in answer["outputs"])
        return result

    encoded = ask(native, "/encode", model="moons-maf", x=X.tolist())
    assert_same(infer("moons-maf", X, "log_prob", "z"), encoded, "log_prob", "z")
    z = encoded["z"].astype(np.float32)
    decoded = ask(native, "/decode", model="moons-maf", z=z.tolist())
    assert_same(infer("moons-maf.decode", z, "x", "log_prob"), decoded, "x", "log_prob")


def test_outputs_are_those_asked_for_in_that_order(call: Caller, native: httpx.Client) -> None:
    outputs = wanted("z") + wanted("log_prob", binary=False)
    result = call("infer", "moons-maf", [tensor("x", X)], outputs=outputs)
    answer = result.get_response()
    assert [(o["name"], "data" in o) for o in answer["outputs"]] == [
        ("z", False),
        ("log_prob", True),
    ]
    assert "id" not in answer
    expected = ask(native, "/encode", model="moons-maf", x=X.tolist())
    assert_same(result, expected, "log_prob", "z")
    status, words = call.refused("infer", "moons-maf", [tensor("x", X)], outputs=wanted("w"))
    assert (status, words) == (400, "there is no output 'w', only log_prob, z, quantile")
    classes = [unsupported_output("z")]
    status, words = call.refused("infer", "moons-maf", [tensor("x", X)], outputs=classes)
    assert (status, words) == (400, "'z': classification is not supported here")


def test_a_quantile_is_answered_where_it_is_named(call: Caller, native: httpx.Client) -> None:
    body = {"model": "moons-maf", "x": X.tolist(), "quantile": True}
    told = ask(native, "/log_prob", **body)
    for names in (["quantile"], ["log_prob", "quantile"]):
        outputs = [each for name in names for each in wanted(name)]
        result = call("infer", "moons-maf", [tensor("x", X)], outputs=outputs)
        assert [output["name"] for output in result.get_response()["outputs"]] == names
        assert_same(result, told, *names)
    both = [*wanted("z"), *wanted("quantile")]
    status, words = call.refused("infer", "moons-maf", [tensor("x", X)], outputs=both)
    assert (status, words) == (400, "output 'quantile' is answered without output 'z'")
    z = [tensor("z", X)]
    status, words = call.refused("infer", "moons-maf.decode", z, outputs=wanted("quantile"))
    assert (status, words) == (400, "there is no output 'quantile', only x, log_prob")


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.uint16, np.int64])
def test_numbers_of_any_type_are_taken(call: Caller, native: httpx.Client, dtype: Any) -> None:
    digits = DIGITS[:3].astype(dtype)
    expected = ask(native, "/encode", model="digits-maf", x=DIGITS[:3].tolist())
    for binary in (True, False):
        result = call("infer", "digits-maf", [tensor("x", digits, binary)])
        assert_same(result, expected, "log_prob", "z")


def test_a_density_of_zero_is_minus_infinity(call: Caller) -> None:
    rows = DIGITS[:3].astype(np.float32)
    rows[1, 5] = 40
    given, names = [tensor("x", rows)], wanted("log_prob")
    log_prob = call("infer", "digits-nice", given, outputs=names).as_numpy("log_prob")
    assert np.isneginf(log_prob).tolist() == [False, True, False]
    text = call("infer", "digits-nice", given, outputs=wanted("log_prob", binary=False))
    as_numbers = text.as_numpy("log_prob")
    assert as_numbers[1] == np.finfo(np.float32).min  # NaN would not be below any threshold
    assert np.array_equal(as_numbers[[0, 2]], log_prob[[0, 2]])
    assert text.get_response()["parameters"] == {"outside_support": "1"}
    status, words = call.refused("infer", "digits-nice", given)  # there is no z
    assert status == 400
    assert "row 1, column 5" in words


def test_samples_with_seed_and_temperature(call: Caller, native: httpx.Client) -> None:
    for binary in (True, False):
        n, set_ = [tensor("n", np.array([5]), binary)], {"seed": 3, "temperature": 0.5}
        drawn = call("infer", "moons-maf.sample", n, parameters=set_)
        expected = ask(native, "/sample", model="moons-maf", n=5, **set_)
        assert_same(drawn, expected, "x", "log_prob")
        assert drawn.get_response()["parameters"] == {"seed": 3}
    free = call("infer", "moons-maf.sample", n)
    seed = free.get_response()["parameters"]["seed"]
    again = call("infer", "moons-maf.sample", n, parameters={"seed": seed})
    assert np.array_equal(free.as_numpy("x"), again.as_numpy("x"))
    whole = call("infer", "digits-maf.sample", n, parameters={"quantize": True}).as_numpy("x")
    assert np.array_equal(whole, np.round(whole))


def test_parameters_that_change_an_answer_are_never_ignored(
    call: Caller, native: httpx.Client
) -> None:
    x, noisy = [tensor("x", DIGITS[:3].astype(np.float32))], {"dequantize": 4, "seed": 1}
    result = call("infer", "digits-maf", x, outputs=wanted("log_prob"), parameters=noisy)
    expected = ask(native, "/log_prob", model="digits-maf", x=DIGITS[:3].tolist(), **noisy)
    assert_same(result, expected, "log_prob")
    status, words = call.refused("infer", "digits-maf", x, parameters=noisy)
    assert (status, words) == (400, "parameter dequantize has no use here: x → log_prob, z")
    others = {"priority": 1, "sequence_id": 4, "parameters": {"from-a-proxy": "yes"}}
    call("infer", "digits-maf", x, **others)


def test_versions_and_timeouts(call: Caller) -> None:
    x = [tensor("x", X)]
    call("infer", "moons-maf", x, model_version="1", timeout=10_000_000)
    for version in ("7", "0", "x", "9" * 5000):
        status, words = call.refused("infer", "moons-maf", x, model_version=version)
        assert status == 404
        assert "has no version" in words
    assert call.refused("infer", "moons-maf", x, timeout=1)[0] == 504
    assert call.refused("infer", "moons-maf", x, timeout=-1)[0] == 400


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compressed_requests(
    call: Caller, native: httpx.Client, algorithm: str, binary: bool
) -> None:
    result = call(
        "infer",
        "moons-maf",
        [tensor("x", X, binary)],
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    expected = ask(native, "/encode", model="moons-maf", x=X.tolist())
    assert_same(result, expected, "log_prob", "z")
