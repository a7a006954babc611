"""Messages that are wrong in ways that no client library writes, and those that want too much."""

import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc import RpcError, StatusCode

from service.grpc.protos import messages
from tests.helpers.grpc_calls import RawCaller, infer_request
from tests.helpers.http import metric
from tests.helpers.servers import Serve, Served
from tests.helpers.waiting import wait_until

X = np.array([[0.5, -0.5, 0.25]], np.float32)
INVALID = StatusCode.INVALID_ARGUMENT


def typed(datatype: str, shape: list[int] | None = None, **contents: list[Any]) -> Any:
    request = messages.ModelInferRequest(model_name="maf")
    tensor = request.inputs.add(
        name="x", datatype=datatype, shape=[1, 3] if shape is None else shape
    )
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    return request


def changed(change: Callable[[Any], Any]) -> Any:
    request = infer_request("maf", ("x", X))
    change(request)
    return request


ONES = {
    **{f"INT{8 * n}": "int_contents" for n in (1, 2, 4)},
    **{f"UINT{8 * n}": "uint_contents" for n in (1, 2, 4)},
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


@pytest.mark.parametrize("datatype", ONES)
def test_typed_contents_say_the_same_as_raw_ones(raw: RawCaller, datatype: str) -> None:
    expected = raw(
        "ModelInfer", infer_request("maf", ("x", np.ones((1, 3), "f4"))).SerializeToString()
    )
    found = raw("ModelInfer", typed(datatype, **{ONES[datatype]: [1, 1, 1]}).SerializeToString())
    assert found == expected


def test_texts_may_be_typed(raw: RawCaller) -> None:
    request = infer_request("maf-context", ("x", X[:, :2]))
    context = request.inputs.add(name="context", datatype="BYTES", shape=[1, 2])
    texts = b"".join(len(t).to_bytes(4, "little") + t for t in (b"0.5", b"red"))
    request.raw_input_contents.append(texts)
    expected = raw("ModelInfer", request.SerializeToString())
    del request.raw_input_contents[:]
    context.contents.bytes_contents.extend([b"0.5", b"red"])
    request.inputs[0].contents.fp32_contents.extend(X[0, :2].tolist())
    assert raw("ModelInfer", request.SerializeToString()) == expected


Z = messages.ModelInferRequest.InferRequestedOutputTensor(name="z")
ONE = messages.InferParameter(string_param="1")
TEXT = messages.InferParameter(string_param="soon")

WRONG: dict[str, tuple[Any, str]] = {
    "no protobuf": (b"\xff\xff\xff", "no ModelInferRequest"),
    "JSON": (b'{"inputs": []}', "no ModelInferRequest"),
    "empty": (b"", "at least 1 item"),
    "no inputs": (messages.ModelInferRequest(model_name="maf"), "at least 1 item"),
    "raw too few": (changed(lambda r: r.inputs.add(name="y")), "each of the 2 inputs, 1 came"),
    "raw too many": (changed(lambda r: r.raw_input_contents.append(b"")), "the 1 inputs, 2 came"),
    "raw too short": (
        changed(lambda r: r.raw_input_contents.__setitem__(0, b"1234")),
        "FP32 of shape [1, 3] are 12 bytes, 4 came",
    ),
    "raw and typed": (
        changed(lambda r: r.inputs[0].contents.fp32_contents.append(1)),
        "has contents, and there are raw_input_contents too",
    ),
    "of another type": (typed("FP32", fp64_contents=[1, 2, 3]), "FP32 in fp32_contents, got fp64"),
    "of two types": (typed("FP32", fp32_contents=[1] * 3, int_contents=[1]), "got int_contents"),
    "FP16": (typed("FP16", fp32_contents=[1, 2, 3]), "FP16 has no typed contents"),
    "BOOL": (typed("BOOL", bool_contents=[True] * 3), "expected one of INT8"),
    "BF16": (typed("BF16"), "expected one of INT8"),
    "out of range": (typed("INT8", int_contents=[1, 2, 128]), "a value is out of range"),
    "too few values": (typed("FP32", fp32_contents=[1]), "holds 3 values, 1 came"),
    "not finite": (typed("FP32", fp32_contents=[1, float("nan"), 0]), "[0][1] is nan"),
    "no UTF-8": (typed("BYTES", bytes_contents=[b"\xff"] * 3), "expected UTF-8"),
    "negative side": (typed("FP32", [-1, 3], fp32_contents=[1] * 3), "expected at least 0"),
    "overflowing sides": (typed("FP32", [2**62, 2**62, 0]), "shape"),
    "input twice": (
        changed(lambda r: (r.inputs.append(r.inputs[0]), r.raw_input_contents.append(X.tobytes()))),
        "is there twice",
    ),
    "many inputs": (changed(lambda r: r.inputs.extend([r.inputs[0]] * 2000)), "of the 2001 inputs"),
    "many outputs": (changed(lambda r: r.outputs.extend([Z] * 9000)), "at most 16"),
    "many parameters": (
        changed(lambda r: [r.parameters[f"p{i}"].MergeFrom(ONE) for i in range(3000)]),
        "at most 64",
    ),
    "long id": (changed(lambda r: setattr(r, "id", "i" * 2000)), "at most 1024"),
    "shared memory": (
        changed(lambda r: r.inputs[0].parameters["shared_memory_region"].MergeFrom(ONE)),
        "shared_memory_region is not supported",
    ),
    "classification": (
        changed(lambda r: r.outputs.add(name="z").parameters["classification"].MergeFrom(ONE)),
        "classification is not supported",
    ),
    "timeout": (changed(lambda r: r.parameters["timeout"].MergeFrom(TEXT)), "microseconds"),
    # of more than 64 KiB, which are looked through before they are parsed
    "million inputs": (b"\x2a\x00" * 300_000, "more than 256 fields"),
    "million unknown": (b"\x98\x06\x01" * 300_000, "more than 256 fields"),
    "endless number": (b"\x80" * 100_000, "a number without an end"),
    "cut off": (
        infer_request("maf", ("x", np.zeros((9000, 3), "f4"))).SerializeToString()[:-1],
        "ends within",
    ),
    "group": (b"\x0b" * 100_000, "field of kind 3"),
    "many sides": (typed("FP32", [1] * 70_000), "more sides than there are"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_message_is_refused_with_what_is_wrong(raw: RawCaller, name: str) -> None:
    request, words = WRONG[name]
    message = request if isinstance(request, bytes) else request.SerializeToString()
    code, text = raw.refused("ModelInfer", message)
    assert words in text
    assert code is INVALID
    # and in a stream, which goes on
    good = infer_request("maf", ("x", X), request_id="good")
    bad, after = raw.stream(message, good)
    assert bad.error_message == text
    assert bad.infer_response.parameters["status"].string_param == code.name
    assert not after.error_message
    assert after.infer_response.id == "good"


def test_a_method_that_is_not_there_is_said(raw: RawCaller) -> None:
    code, _ = raw.refused("SystemSharedMemoryStatus", b"")
    assert code is StatusCode.UNIMPLEMENTED


def test_a_call_without_a_message_is_refused(served: Served, raw: RawCaller) -> None:
    call = raw.channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(RpcError) as caught:
        call(iter(()), timeout=20)
    assert caught.value.code() is INVALID


def test_other_messages_are_small(raw: RawCaller) -> None:
    request = messages.ModelMetadataRequest(name="m" * 2**17)
    assert raw.refused("ModelMetadata", request.SerializeToString())[0] is INVALID
    bomb = gzip.compress(bytes(2**20))
    assert raw.refused("ServerLive", bomb)[0] is INVALID


@pytest.fixture(scope="module")
def limited(grpc_store: Path, serve: Serve) -> Served:
    """A server that has little."""
    options = "--max-body-mib 1 --max-inflight-mib 2 --max-json-mib 1 --max-json-values 1000"
    return serve("--store", grpc_store, "--grpc-port", "0", *options.split())


def test_limits_are_those_of_http(limited: Served, raw_to: Callable[[Served], RawCaller]) -> None:
    caller = raw_to(limited)
    large = infer_request("maf", ("x", np.zeros((90_000, 3), "f4"))).SerializeToString()
    assert len(large) > 2**20
    code, text = caller.refused("ModelInfer", large)
    assert (code, "larger than max" in text) == (StatusCode.RESOURCE_EXHAUSTED, True)
    code, text = caller.refused("ModelInfer", gzip.compress(large))
    assert (code, "1048576 bytes" in text) == (INVALID, True)
    values = typed("FP32", [500, 3], fp32_contents=[1.0] * 1500).SerializeToString()
    code, text = caller.refused("ModelInfer", values)
    assert (code, "may have 1000 values" in text) == (INVALID, True)
    # typed contents of 300 kB may come to 16 times that, which the budget has not
    values = typed("UINT8", [1, 1], uint_contents=[1] * 300_000).SerializeToString()
    code, text = caller.refused("ModelInfer", values)
    assert (code, "of memory" in text) == (INVALID, True)
    sample = infer_request("maf.sample", ("n", np.array([60_000])))
    code, text = caller.refused("ModelInfer", sample.SerializeToString())
    assert (code, "of memory" in text) == (INVALID, True)
    assert caller("ModelInfer", infer_request("maf", ("x", X)).SerializeToString())
    wait_until(lambda: metric(limited.client, "bijecta_inflight_bytes") == 0)


def test_models_are_changed_where_it_is_allowed(
    limited: Served, raw_to: Callable[[Served], RawCaller]
) -> None:
    caller = raw_to(limited)
    request = messages.RepositoryModelUnloadRequest(model_name="maf").SerializeToString()
    code, text = caller.refused("RepositoryModelUnload", request)
    assert (code, "--model-control" in text) == (StatusCode.PERMISSION_DENIED, True)


def test_a_bomb_is_refused_soon(limited: Served, raw_to: Callable[[Served], RawCaller]) -> None:
    bomb = gzip.compress(bytes(50 * 2**20), 1)
    started = time.monotonic()
    code, _ = raw_to(limited).refused("ModelInfer", bomb)
    assert code is INVALID
    assert time.monotonic() - started < 5
