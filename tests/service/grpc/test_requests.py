"""Reading messages: the short way for those that are as most are, and the long one for all."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ServiceError
from service.grpc import requests
from service.grpc.protos import messages
from service.inflight import BodyLimits, InflightBudget, Reading
from tests.helpers.grpc_calls import infer_request

LIMITS = BodyLimits(2**20, 2**20, 1000, 1000, 1000)
SIZES = {"FP32": 4, "FP64": 8, "INT8": 1, "UINT16": 2, "BYTES": 4, "BOOL": 1, "": 1}
NAMES = st.sampled_from(["x", "z", "", "x" * 1025])


@st.composite
def asked(draw: Any) -> bytes:
    """A request with a fault here and there."""
    request = messages.ModelInferRequest(model_name="maf", id=draw(NAMES))
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 17]))):
        datatype = draw(st.sampled_from(["FP32"] * 3 + [*SIZES]))
        sides = st.sampled_from([1, 2, 1, 0, -1, 2**62])
        shape = draw(st.lists(sides, max_size=3) | st.just([1] * 33))
        tensor = request.inputs.add(name=draw(NAMES), datatype=datatype, shape=shape)
        if draw(st.integers(0, 9)) == 0:
            tensor.parameters["shared_memory_region"].string_param = "r"
        if draw(st.integers(0, 9)) == 0:
            tensor.contents.fp32_contents.append(1)
        size = SIZES[datatype] * int(np.prod([min(abs(side), 3) for side in shape]))
        request.raw_input_contents.append(bytes(size + draw(st.sampled_from([0, 0, 0, 1]))))
    for _ in range(draw(st.sampled_from([0, 1, 17]))):
        output = request.outputs.add(name=draw(NAMES))
        if draw(st.integers(0, 9)) == 0:
            output.parameters["classification"].int64_param = 1
    if draw(st.integers(0, 9)) == 0:
        request.parameters["timeout"].int64_param = 1
    content: bytes = request.SerializeToString()
    return content


def read(message: bytes) -> Any:
    """What a message is read as, or the status of its refusal: of two faults either may be said."""
    try:
        found = requests.read_request(message, Reading(LIMITS, InflightBudget(2**20).share()))
    except ServiceError as error:
        return error.status
    arrays = {k: (v.dtype, v.shape, v.tobytes()) for k, v in found.request.inputs.items()}
    asked = found.request
    return found[:2], asked.id, asked.parameters, arrays, list(asked.outputs.items()), asked.binary


@given(asked())
def test_both_ways_read_the_same(message: bytes) -> None:
    found = read(message)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "_plain", lambda *_: None)
        assert read(message) == found


def test_most_requests_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "parse_content", None)
    request = infer_request("maf", ("x", np.ones((2, 3), "f4")), ("context", np.ones((2, 1), "f8")))
    request.outputs.add(name="log_prob")
    assert len(read(request.SerializeToString())[3]) == 2
