"""Triton's own clients, blocking, aio and in streams; their answers are those of HTTP."""

import asyncio
import queue
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.grpc.statuses import STATUS_CODES
from tests.helpers.grpc_calls import grpc_port
from tests.helpers.http import metric
from tests.helpers.servers import Served
from tests.helpers.waiting import wait_until

try:
    import tritonclient.grpc as triton
    import tritonclient.grpc.aio as triton_aio
    import tritonclient.http as triton_http
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype
except (ImportError, RuntimeError) as error:
    pytest.skip(f"tritonclient[grpc,http] cannot be imported: {error}", allow_module_level=True)

MAF = np.array([[0.5, -0.5, 0.25], [1, 2, -1], [0.1, 0.2, 9]], np.float32)
IMAGES = np.linspace(0.1, 0.9, 16, dtype=np.float32).reshape(1, 1, 4, 4)
CONTEXT = np.array([[0.5, 0], [0, 1], [-0.5, 2]], np.float32)
N = np.array([3])


class Asked:
    """A question, as both clients take it."""

    def __init__(
        self, model: str, *inputs: tuple[str, NDArray[Any]], version: str = "", **more: Any
    ) -> None:
        self.model, self.inputs, self.version, self.more = model, inputs, version, more

    def __repr__(self) -> str:
        values = [f"{name}={array.dtype}{array.shape}" for name, array in self.inputs]
        return " ".join([self.model, *values, *map(str, self.more.values())])

    def arguments(self, client: Any) -> dict[str, Any]:
        inputs = []
        for name, values in self.inputs:
            given = client.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
            inputs.append(given.set_data_from_numpy(values))
        more = dict(self.more)
        if names := more.pop("outputs", None):
            more["outputs"] = [client.InferRequestedOutput(name) for name in names]
        return {"model_name": self.model, "inputs": inputs, "model_version": self.version, **more}


ANSWERED = [
    Asked("maf", ("x", MAF)),
    Asked("maf", ("x", MAF), version="1", request_id="r-1"),
    Asked("maf", ("x", MAF), outputs=["log_prob"]),
    Asked("maf", ("x", MAF), outputs=["z", "log_prob"]),
    *[
        Asked("maf", ("x", np.array([[1, 0, 1]], dtype)))
        for dtype in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    ],
    Asked("maf", ("x", MAF[:0])),
    Asked("maf.decode", ("z", MAF)),
    Asked("maf.sample", ("n", N), parameters={"seed": 7}),
    Asked("maf.sample", ("n", N), parameters={"seed": 7, "temperature": 0.5}),
    Asked("maf.sample", ("n", np.array([70])), parameters={"seed": 1}),
    Asked("maf-context", ("x", MAF[:, :2]), ("context", CONTEXT)),
    Asked("maf-context", ("x", MAF[:1, :2]), ("context", np.array([["0.5", "red"]], object))),
    Asked("realnvp-images", ("x", IMAGES)),
    Asked("realnvp-images", ("x", np.repeat(IMAGES, 3000, 0))),
    Asked("maf.decode", ("z", MAF), parameters={"check": True, "partial": True}),
]

REFUSED = [
    Asked("nope", ("x", MAF)),
    Asked("maf", ("x", MAF), version="2"),
    Asked("maf", ("x", MAF), version="one"),
    Asked("maf", ("x", MAF[:, :2])),
    Asked("maf", ("y", MAF)),
    Asked("maf", ("x", MAF), ("y", MAF)),
    Asked("maf", ("x", MAF), ("context", MAF)),
    Asked("maf", ("x", np.array([["a", "b", "ü"]], object))),
    Asked("maf-context", ("x", MAF[:1, :2]), ("context", np.array([["0.5", "grün"]], object))),
    Asked("maf", ("x", np.array([[True, False, True]]))),
    Asked("maf", ("x", np.array([[np.nan, 0, 0]], "f4"))),
    Asked("maf", ("x", MAF), outputs=["x"]),
    Asked("maf", ("x", MAF), parameters={"seed": 1}),
    Asked("maf.sample", ("n", N), parameters={"temperature": "hot"}),
    Asked("maf.sample", ("n", np.array([1.5]))),
    Asked("maf.sample", ("n", np.array([-1]))),
    Asked("maf.sample", ("n", np.array([2**20]))),
    Asked("maf", ("x", np.zeros((70_000, 3), "f4"))),
    Asked("maf", ("x", MAF), timeout=1),
    Asked("maf", ("x", np.zeros((1,) * 33, "f4"))),
]


@pytest.fixture(scope="module")
def over_http(served: Served) -> Any:
    with triton_http.InferenceServerClient(served.client.base_url.netloc.decode()) as client:
        yield client


@pytest.fixture(scope="module")
def over_grpc(served: Served) -> Any:
    with triton.InferenceServerClient(f"127.0.0.1:{grpc_port(served)}") as client:
        yield client


def raw(result: Any, names: list[str]) -> dict[str, tuple[Any, ...]]:
    found = {name: result.as_numpy(name) for name in names}
    return {name: (v.dtype, v.shape, v.tobytes()) for name, v in found.items()}


def parameters(found: Any) -> dict[str, Any]:
    values = {}
    for name, value in dict(found).items():
        kind = value.WhichOneof("parameter_choice")
        values[name] = getattr(value, kind)
    return values


@pytest.mark.parametrize("asked", ANSWERED, ids=repr)
def test_an_answer_is_that_of_http_bit_for_bit(
    over_http: Any, over_grpc: Any, asked: Asked
) -> None:
    expected = over_http.infer(**asked.arguments(triton_http))
    result = over_grpc.infer(**asked.arguments(triton))
    theirs, ours = expected.get_response(), result.get_response()
    names = [output["name"] for output in theirs["outputs"]]
    assert [output.name for output in ours.outputs] == names
    assert [o.datatype for o in ours.outputs] == [o["datatype"] for o in theirs["outputs"]]
    assert raw(result, names) == raw(expected, names)
    assert (ours.model_name, ours.model_version) == (theirs["model_name"], theirs["model_version"])
    assert ours.id == theirs.get("id", "")
    assert parameters(ours.parameters) == theirs.get("parameters", {})


@pytest.mark.parametrize("asked", REFUSED, ids=repr)
def test_a_refusal_says_what_http_says(over_http: Any, over_grpc: Any, asked: Asked) -> None:
    with pytest.raises(InferenceServerException) as theirs:
        over_http.infer(**asked.arguments(triton_http))
    with pytest.raises(InferenceServerException) as ours:
        over_grpc.infer(**asked.arguments(triton))
    assert ours.value.message() == theirs.value.message()
    assert ours.value.status() == str(STATUS_CODES[int(theirs.value.status())])


def test_what_is_asked_beside_inference_is_answered_alike(over_http: Any, over_grpc: Any) -> None:
    assert over_grpc.is_server_live()
    assert over_grpc.is_server_ready()
    as_json = {"as_json": True}
    assert over_grpc.get_server_metadata(**as_json) == over_http.get_server_metadata()
    for name in ("maf", "maf.decode", "maf-context.sample", "realnvp-images"):
        assert over_grpc.is_model_ready(name)
        assert over_grpc.is_model_ready(name, "1")
        theirs = over_http.get_model_metadata(name)
        found = over_grpc.get_model_metadata(name, **as_json)
        for tensor in (*found["inputs"], *found["outputs"]):
            tensor["shape"] = [int(side) for side in tensor["shape"]]  # JSON of protobuf
        assert found == theirs
        config, expected = over_grpc.get_model_config(name).config, over_http.get_model_config(name)
        assert (config.name, config.platform, config.backend, config.max_batch_size) == tuple(
            expected[key] for key in ("name", "platform", "backend", "max_batch_size")
        )
        for ours, wanted in zip(config.input, expected["input"], strict=True):
            assert (ours.name, list(ours.dims)) == (wanted["name"], wanted["dims"])
    assert not over_grpc.is_model_ready("nope")
    assert not over_grpc.is_model_ready("maf", "2")
    for question in ("get_model_metadata", "get_model_config", "get_inference_statistics"):
        with pytest.raises(InferenceServerException, match="no model 'nope'") as caught:
            getattr(over_grpc, question)("nope")
        assert caught.value.status() == "StatusCode.NOT_FOUND"


def test_statistics_and_the_index_are_those_of_http(over_http: Any, over_grpc: Any) -> None:
    ours = over_grpc.get_inference_statistics().model_stats
    theirs = over_http.get_inference_statistics()["model_stats"]
    for found, expected in zip(ours, theirs, strict=True):
        assert (found.name, found.inference_count) == (
            expected["name"],
            expected["inference_count"],
        )
        assert found.inference_stats.success.ns == expected["inference_stats"]["success"]["ns"]
    (one,) = over_grpc.get_inference_statistics("maf").model_stats
    assert one.name == "maf"
    listed = over_grpc.get_model_repository_index().models
    assert [
        {"name": m.name, "version": m.version, "state": m.state, "reason": m.reason} for m in listed
    ] == over_http.get_model_repository_index()


def test_a_model_is_unloaded_and_loaded(over_grpc: Any) -> None:
    over_grpc.unload_model("maf-context.decode")
    try:
        assert not over_grpc.is_model_ready("maf-context")
        with pytest.raises(InferenceServerException, match="has been unloaded") as caught:
            over_grpc.infer(**Asked("maf-context", ("x", MAF)).arguments(triton))
        assert caught.value.status() == "StatusCode.UNAVAILABLE"
        with pytest.raises(InferenceServerException, match="expected no parameters"):
            over_grpc.load_model("maf-context", config="{}")
    finally:
        over_grpc.load_model("maf-context")
    assert over_grpc.is_model_ready("maf-context")


def test_a_stream_is_answered_in_turn_and_outlives_a_bad_request(
    over_http: Any, over_grpc: Any
) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    over_grpc.start_stream(lambda result, error: answers.put((result, error)))
    questions = [ANSWERED[0], REFUSED[0], ANSWERED[1], REFUSED[3], ANSWERED[12]]
    try:
        for asked in questions:
            over_grpc.async_stream_infer(**asked.arguments(triton))
        # HTTP is asked after that: rows that run together may differ in the last bit
        found = [answers.get(timeout=30) for _ in questions]
        for asked, (result, error) in zip(questions, found, strict=True):
            if asked in REFUSED:
                with pytest.raises(InferenceServerException) as theirs:
                    over_http.infer(**asked.arguments(triton_http))
                assert error.message() == theirs.value.message()
                continue
            assert error is None
            expected = over_http.infer(**asked.arguments(triton_http))
            names = [output["name"] for output in expected.get_response()["outputs"]]
            assert raw(result, names) == raw(expected, names)
            assert parameters(result.get_response().parameters)["triton_final_response"] is True
    finally:
        over_grpc.stop_stream()


def test_samples_come_in_pieces_which_are_those_of_one_answer(
    over_http: Any, over_grpc: Any, served: Served
) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    asked = Asked("maf.sample", ("n", np.array([10_000])), parameters={"seed": 5}, request_id="s")
    before = metric(served.client, "bijecta_request_rows_sum", endpoint="grpc-stream", model="maf")
    over_grpc.start_stream(lambda result, error: answers.put((result, error)))
    pieces: list[Any] = []
    try:
        over_grpc.async_stream_infer(**asked.arguments(triton))
        while not pieces or not _is_last(pieces[-1]):
            result, error = answers.get(timeout=30)
            assert error is None
            assert result.get_response().id == "s"
            pieces.append(result)
    finally:
        over_grpc.stop_stream()
    assert len(pieces) > 1
    expected = over_http.infer(**asked.arguments(triton_http))
    for name in ("x", "log_prob"):
        whole = np.concatenate([piece.as_numpy(name) for piece in pieces])
        assert np.array_equal(whole, expected.as_numpy(name))
    after = metric(served.client, "bijecta_request_rows_sum", endpoint="grpc-stream", model="maf")
    assert after - before == 10_000


def _is_last(result: Any) -> bool:
    return bool(result.get_response().parameters["triton_final_response"].bool_param)


def test_the_client_of_asyncio_asks_and_streams(over_http: Any, served: Served) -> None:
    asked = ANSWERED[0]

    async def questions() -> AsyncIterator[dict[str, Any]]:
        for _ in range(3):
            yield asked.arguments(triton)

    async def ask() -> list[Any]:
        url = f"127.0.0.1:{grpc_port(served)}"
        async with triton_aio.InferenceServerClient(url) as client:
            one = await client.infer(**asked.arguments(triton))
            return [one] + [r async for r, error in client.stream_infer(questions()) if not error]

    expected = over_http.infer(**asked.arguments(triton_http))
    results = asyncio.run(ask())
    assert len(results) == 4
    for result in results:
        assert raw(result, ["log_prob", "z"]) == raw(expected, ["log_prob", "z"])


@pytest.mark.parametrize("algorithm", ["gzip", None])
def test_a_message_may_be_compressed_by_gzip(over_grpc: Any, algorithm: str | None) -> None:
    asked = Asked("maf", ("x", np.repeat(MAF, 1000, 0)))
    result = over_grpc.infer(**asked.arguments(triton), compression_algorithm=algorithm)
    assert result.as_numpy("log_prob").shape == (3000,)


def test_other_compression_is_refused(over_grpc: Any) -> None:
    with pytest.raises(InferenceServerException, match="deflate") as caught:
        over_grpc.infer(**ANSWERED[0].arguments(triton), compression_algorithm="deflate")
    assert caught.value.status() == "StatusCode.UNIMPLEMENTED"


def test_a_deadline_of_the_call_passes(over_grpc: Any) -> None:
    asked = Asked("maf.sample", ("n", np.array([60_000])))
    with pytest.raises(InferenceServerException, match=r"(?i)deadline") as caught:
        over_grpc.infer(**asked.arguments(triton), client_timeout=0.003)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_requests_are_counted_as_those_of_http(over_grpc: Any, served: Served) -> None:
    def count(code: str) -> float:
        name = "bijecta_requests_total"
        return metric(served.client, name, endpoint="grpc-infer", code=code)

    over_grpc.infer(**ANSWERED[0].arguments(triton))
    with pytest.raises(InferenceServerException):
        over_grpc.infer(**REFUSED[0].arguments(triton))
    wait_until(lambda: metric(served.client, "bijecta_inflight_requests") == 1)  # this one
    good, bad = count("200"), count("404")
    over_grpc.infer(**ANSWERED[0].arguments(triton))
    with pytest.raises(InferenceServerException):
        over_grpc.infer(**REFUSED[0].arguments(triton))
    # a call ends a moment after its answer has been sent
    wait_until(lambda: (count("200") - good, count("404") - bad) == (1, 1))
    assert metric(served.client, "bijecta_inflight_bytes") == 0


def test_calls_of_many_connections_run_together(served: Served, over_grpc: Any) -> None:
    def totals() -> tuple[int, int]:
        stats = over_grpc.get_inference_statistics("maf.decode").model_stats[0]
        return stats.inference_count, stats.execution_count

    async def ask() -> None:
        url, options = f"127.0.0.1:{grpc_port(served)}", [("grpc.use_local_subchannel_pool", 1)]
        clients = [triton_aio.InferenceServerClient(url, channel_args=options) for _ in range(32)]
        arguments = Asked("maf.decode", ("z", MAF[:1])).arguments(triton_aio)
        for _ in range(8):
            await asyncio.gather(*[client.infer(**arguments) for client in clients])
        await asyncio.gather(*[client.close() for client in clients])

    rows, runs = totals()
    asyncio.run(ask())
    more_rows, more_runs = totals()
    assert more_rows - rows == 32 * 8
    # one server of gRPC's alone would run nearly each by itself
    assert more_runs - runs < 32 * 8 / 1.5
