"""Laws of the Open Inference Protocol's codec, without HTTP."""

import json
import tracemalloc
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.errors import ServiceError
from service.open_inference import protocol
from service.open_inference.tensors import DTYPES, TEXT
from service.operations.values import count_booleans, number_array
from tests.helpers.reading import unbounded

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
NUMBERS = sorted(DTYPES.keys() - {TEXT})


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, NDArray[Any]]:
    """A datatype and an array of it."""
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    dtype, shape = DTYPES[datatype], draw(SHAPES)
    if datatype == TEXT:
        texts = st.text(st.characters(codec="utf-8"), max_size=4)
        values = draw(st.lists(texts, min_size=(n := int(np.prod(shape))), max_size=n))
        return datatype, np.array(values, dtype).reshape(shape)
    finite: dict[str, Any] = {"allow_nan": False, "allow_infinity": False}
    elements = arrays.from_dtype(dtype, **(finite if dtype.kind == "f" else {}))
    return datatype, draw(arrays.arrays(dtype, shape, elements=elements))


def as_bytes(datatype: str, values: NDArray[Any]) -> bytes:
    if datatype != TEXT:
        return values.tobytes()
    texts = [text.encode() for text in values.ravel().tolist()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@given(st.lists(st.tuples(tensors(), st.sampled_from(["flat", "nested", "binary"])), min_size=1))
def test_a_request_is_read_as_it_was_written(
    parts: list[tuple[tuple[str, NDArray[Any]], str]],
) -> None:
    parts, inputs, tail = parts[:16], [], b""
    for i, ((datatype, values), form) in enumerate(parts):
        part: dict[str, Any] = {"name": f"i{i}", "shape": values.shape, "datatype": datatype}
        if form == "binary":
            part["parameters"] = {"binary_data_size": len(as_bytes(datatype, values))}
            tail += as_bytes(datatype, values)
        else:
            nested = form == "nested" and values.ndim and values.size
            part["data"] = (values if nested else values.ravel()).tolist()
        inputs.append(part)
    text = json.dumps({"inputs": inputs, "id": "true"}).encode()
    read = protocol.parse(text + tail, str(len(text)), unbounded())
    for i, ((datatype, values), _) in enumerate(parts):
        found = read.inputs[f"i{i}"]
        assert found.dtype == DTYPES[datatype]
        assert found.shape == values.shape
        assert np.array_equal(found, values)
        assert found.flags.aligned


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.tuples(
            arrays.arrays(np.float32, SHAPES, elements=st.floats(width=32, allow_nan=False)),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_an_answer_is_read_as_it_was_written(
    outputs: dict[str, tuple[NDArray[np.float32], bool]],
) -> None:
    given_arrays = {name: values for name, (values, _) in outputs.items()}
    binary = {name: is_binary for name, (_, is_binary) in outputs.items()}
    content, length = protocol.dump({"id": "ä"}, given_arrays, binary)
    answer, tail = json.loads(content[:length]), content[length:]
    assert answer.pop("id") == "ä"
    assert [output["name"] for output in answer["outputs"]] == list(outputs)
    for output in answer["outputs"]:
        values = given_arrays[output["name"]]
        assert (output["datatype"], tuple(output["shape"])) == ("FP32", values.shape)
        if binary[output["name"]]:
            size = output["parameters"]["binary_data_size"]
            found, tail = np.frombuffer(tail[:size], "<f4"), tail[size:]
            assert np.array_equal(found, values.ravel())
        else:
            found = np.array(output["data"], np.float32)  # infinities are the ends of the numbers
            ends = np.finfo(np.float32)
            expected = values.clip(ends.min, ends.max).ravel()
            assert np.array_equal(found, expected, equal_nan=True)
    assert not tail


@given(tensors() | st.tuples(st.just("BOOL"), arrays.arrays(np.bool_, SHAPES)))
def test_answers_hold_arrays_of_any_type(tensor: tuple[str, NDArray[Any]]) -> None:
    datatype, values = tensor
    outputs = {"text": values, "bytes": values}
    content, length = protocol.dump({}, outputs, {"text": False, "bytes": True})
    as_json, as_binary = json.loads(content[:length])["outputs"]
    assert as_json["datatype"] == as_binary["datatype"] == datatype
    assert as_json["shape"] == as_binary["shape"] == list(values.shape)
    assert np.array_equal(np.array(as_json["data"], values.dtype), values.ravel())
    assert content[length:] == as_bytes(datatype, values)
    assert as_binary["parameters"] == {"binary_data_size": len(content) - length}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@st.composite
def nearly_requests(draw: st.DrawFn) -> bytes:
    """JSON with the keys of a request and anything at all as their values."""
    input_ = st.fixed_dictionaries(
        {"name": st.just("x") | JSON},
        optional={
            "shape": st.lists(st.integers(-1, 2**64), max_size=40) | JSON,
            "datatype": st.sampled_from(sorted(DTYPES)) | JSON,
            "data": JSON,
            "parameters": st.fixed_dictionaries({"binary_data_size": st.integers() | JSON}) | JSON,
        },
    )
    request = {"inputs": draw(st.lists(input_, max_size=3) | JSON)}
    request |= draw(st.fixed_dictionaries({}, optional={"outputs": JSON, "parameters": JSON}))
    return json.dumps(request).encode() + draw(st.binary(max_size=20))


@given(
    st.binary(max_size=60) | nearly_requests(),
    st.text(max_size=6) | st.integers(-1, 400).map(str),
)
def test_nothing_breaks_the_parser(body: bytes, header: str) -> None:
    with suppress(ServiceError):  # and nothing else
        read = protocol.parse(body, header, unbounded())
        assert all(isinstance(values, np.ndarray) for values in read.inputs.values())
    with suppress(ServiceError):
        protocol.parse_raw(body, [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}])


@given(st.lists(st.booleans() | st.none() | st.text("truefals\\"), max_size=5))
def test_truths_are_never_missed(values: list[Any]) -> None:
    text = json.dumps(values).encode()
    assert count_booleans(text, len(text)) >= sum(type(value) is bool for value in values)


def test_truths_among_very_many_letters() -> None:
    assert count_booleans(b"t" * 10_000_000 + b"true", 10_000_004) == -1
    assert count_booleans(b"[true, false, 1]", 6) == 1


def test_truths_beside_the_data_do_not_hide_those_in_it() -> None:
    part = '{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, %s], "parameters": {%s}}'
    for hidden in ("", '"a": true', r'"a": "\u0074rue"', '"a": true, "a": 1'):
        body = '{"inputs": [' + part % ("%s", hidden) + "]}"
        assert protocol.parse((body % "2").encode(), "", unbounded()).inputs["x"].tolist() == [1, 2]
        with pytest.raises(ServiceError, match="is true"):
            protocol.parse((body % "true").encode(), "", unbounded())


def test_one_long_text_makes_no_others_long() -> None:
    texts = ["a" * 1_000_000, *["b"] * 9999]
    part = {"name": "x", "shape": [10_000], "datatype": "BYTES", "data": texts}
    body = json.dumps({"inputs": [part]}).encode()
    tracemalloc.start()
    try:
        assert protocol.parse(body, "", unbounded()).inputs["x"].tolist() == texts
        assert tracemalloc.get_traced_memory()[1] < 30e6  # 40 GB in an array of fixed width
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("depth", [64, 65, 70])
def test_lists_too_deep_for_an_array_are_none(depth: int) -> None:
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    assert (number_array(value) is None) == (depth > 64)
