"""Ensembles by the Open Inference Protocol over HTTP and gRPC, and by the client."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from bijecta_client import Client, RefusedError
from service.grpc.protos import messages
from tests.helpers.grpc_calls import METHOD, count, grpc_port, infer_request
from tests.helpers.http import MOONS, ask
from tests.helpers.servers import Serve, Served

NAME, BOX = "moons-mixture", "digits-mixture"
X = MOONS[:7].astype(np.float32)
SPREAD = ["member_log_prob", "member_std", "member_min", "member_max"]


@pytest.fixture(scope="module")
def served(ensembles: Path, serve: Serve) -> Served:
    return serve("--store", ensembles / "store", "--grpc-port", "0", "--threads", "1")


def tensor(name: str, values: Any, datatype: str) -> dict[str, Any]:
    values = np.asarray(values)
    return {
        "name": name,
        "shape": list(values.shape),
        "datatype": datatype,
        "data": values.ravel().tolist(),
    }


def infer(served: Served, model: str, inputs: list[Any], outputs: list[str]) -> dict[str, Any]:
    body = {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}
    answer = served.client.post(f"/v2/models/{model}/infer", json=body)
    assert answer.status_code == 200, answer.text
    return {o["name"]: np.reshape(o["data"], o["shape"]) for o in answer.json()["outputs"]}


def test_each_graph_is_described(served: Served) -> None:
    said = served.client.get(f"/v2/models/{NAME}").json()
    assert [(o["name"], o["datatype"]) for o in said["outputs"]] == [
        ("log_prob", "FP32"),
        ("z", "FP32"),
        ("member", "INT64"),
    ]
    inputs = served.client.get(f"/v2/models/{NAME}.decode").json()["inputs"]
    assert inputs[1] == {"name": "member", "datatype": "INT64", "shape": [-1]}
    outputs = served.client.get(f"/v2/models/{NAME}.sample").json()["outputs"]
    assert [output["name"] for output in outputs] == ["x", "log_prob", "member"]
    assert served.client.get(f"/v2/models/{NAME}.score").status_code == 404


def test_members_are_answered_where_they_are_named(served: Served) -> None:
    expected = ask(served.client, "/log_prob", model=NAME, x=X.tolist(), members=True)
    x = tensor("x", X, "FP32")
    found = infer(served, NAME, [x], ["log_prob", *SPREAD, "quantile"])
    for name in ("log_prob", *SPREAD):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    encoded = infer(served, NAME, [x], ["z", "member"])
    member = tensor("member", encoded["member"], "INT64")
    back = infer(served, f"{NAME}.decode", [tensor("z", encoded["z"], "FP32"), member], ["x"])
    np.testing.assert_allclose(back["x"], X, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "words"),
    [
        (f"{NAME}.decode", [tensor("z", X, "FP32")], ["x"], "member: moons-mixture is an ensemble"),
        (NAME, [tensor("x", X, "FP32")], ["z", "member_std"], "answered without output 'z'"),
        (NAME, [tensor("x", X, "FP32")], ["spread"], "no output 'spread'"),
        ("moons-maf", [tensor("x", X, "FP32")], ["member"], "no output 'member'"),
        (
            "moons-maf.decode",
            [tensor("z", X, "FP32"), tensor("member", np.zeros(7, int), "INT64")],
            ["x"],
            "no input 'member'",
        ),
    ],
)
def test_what_there_is_not_is_refused(
    served: Served, model: str, inputs: list[Any], outputs: list[str], words: str
) -> None:
    body = {"inputs": inputs, "outputs": [{"name": name} for name in outputs]}
    answer = served.client.post(f"/v2/models/{model}/infer", json=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_grpc_answers_what_http_does(served: Served) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port(served)}") as channel:

        def call(request: Any) -> dict[str, Any]:
            method = channel.unary_unary(f"{METHOD}ModelInfer")
            answer = messages.ModelInferResponse.FromString(method(request.SerializeToString()))
            kinds = {"FP32": np.float32, "INT64": np.int64}
            return {
                output.name: np.frombuffer(raw, kinds[output.datatype]).reshape(output.shape)
                for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
            }

        drawn = call(infer_request(f"{NAME}.sample", count(9), seed=4))
        expected = ask(served.client, "/sample", model=NAME, n=9, seed=4)
        np.testing.assert_array_equal(drawn["member"], expected["member"])
        np.testing.assert_allclose(drawn["x"], expected["x"], atol=1e-6)
        encoded = call(infer_request(NAME, ("x", drawn["x"])))
        np.testing.assert_allclose(encoded["log_prob"], expected["log_prob"], atol=2e-4)
        latents = ("z", encoded["z"]), ("member", encoded["member"])
        back = call(infer_request(f"{NAME}.decode", *latents))
        np.testing.assert_allclose(back["x"], drawn["x"], atol=1e-4)


def test_the_client_asks_members(served: Served) -> None:
    expected = ask(served.client, "/log_prob", model=NAME, x=X.tolist(), members=True)
    with Client(str(served.client.base_url), NAME, rows_per_request=3) as client:
        np.testing.assert_allclose(client.log_prob(X), expected["log_prob"], atol=1e-4)
        found = client.log_prob_of_members(X)
        for name in ("log_prob", *SPREAD):
            np.testing.assert_allclose(getattr(found, name), expected[name], atol=1e-4)
        encoded = client.encode_by_members(X)
        back = client.decode(encoded.z, member=encoded.member)
        np.testing.assert_allclose(back.x, X, atol=1e-4)
        np.testing.assert_allclose(client.encode(X).z, encoded.z)
        assert client.decode(encoded.z, member=1).x.shape == X.shape
        assert client.sample(5, seed=1).x.shape == (5, 2)
        assert client.interpolate(X[0], X[1], steps=4).z.shape == (4, 2)
        with pytest.raises(RefusedError, match="is an ensemble"):
            client.decode(encoded.z)
        with pytest.raises(ValueError, match="expected one or 7"):
            client.decode(encoded.z, member=[0, 1])
        with pytest.raises(TypeError, match="whole numbers"):
            client.decode(encoded.z, member=0.5)


def test_a_question_to_a_flow_stays_one_where_ensembles_are(served: Served) -> None:
    with Client(str(served.client.base_url), "moons-maf") as client:
        z, _ = client.encode(X)
        np.testing.assert_allclose(client.decode(z).x, X, atol=1e-4)
        with pytest.raises(RefusedError, match="no output 'member_log_prob'"):
            client.log_prob_of_members(X)
