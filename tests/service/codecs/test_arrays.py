"""Answers of arrays of any type, through every codec."""

import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.codecs.arrow import ArrowCodec
from service.codecs.json import JsonCodec
from service.codecs.npy import MAX_TEXT_BYTES, NpyCodec
from service.codecs.wav import WavCodec
from service.errors import InvalidInputError, NotAcceptableError
from service.operations import Answer

MANIFEST: Any = SimpleNamespace(name="m", version=3)
DTYPES = ["<f4", "<f8", ">f4", "<f2", "|b1", "<i8", "|i1", "<u8", ">i2"]
CODECS = [JsonCodec(), NpyCodec(), ArrowCodec()]


@st.composite
def columns(draw: st.DrawFn) -> NDArray[Any]:
    """An array of numbers, booleans or text, in rows of any shape."""
    shape = draw(arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=3))
    if draw(st.booleans()):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        values = draw(arrays.arrays(dtype, shape, elements=_finite(dtype)))
        return values.T if draw(st.booleans()) else values
    texts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4))
    size = int(np.prod(shape))
    flat = draw(st.lists(st.sampled_from(draw(texts) or ["a"]), min_size=size, max_size=size))
    kind: Any = draw(st.sampled_from([np.dtypes.StringDType(), str]))
    return np.array(flat, kind).reshape(shape)


def _finite(dtype: np.dtype[Any]) -> Any:
    finite: Any = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else {}
    return arrays.from_dtype(dtype, **finite)


@given(columns())
def test_json_holds_arrays_of_any_type(values: NDArray[Any]) -> None:
    content = json.loads(JsonCodec().dump(MANIFEST, Answer({"y": values}, 7), None))
    assert content.pop("seed") == 7
    assert content == {"model": "m", "version": 3, "y": values.tolist()} or values.dtype.kind == "f"
    assert np.array_equal(np.array(content["y"], values.dtype), values)


@given(columns())
def test_npy_holds_arrays_of_any_type(values: NDArray[Any]) -> None:
    body = NpyCodec().dump(MANIFEST, Answer({"y": values}), None)
    read = np.load(io.BytesIO(body), allow_pickle=False)
    assert read.dtype.kind == ("U" if values.dtype.kind == "T" else values.dtype.kind)
    assert np.array_equal(read, values.astype(read.dtype))


@given(st.lists(columns(), min_size=1, max_size=3))
def test_arrow_holds_arrays_of_any_type(several: list[NDArray[Any]]) -> None:
    rows = min(map(len, several))
    table = {f"c{i}": values[:rows] for i, values in enumerate(several)}
    body = ArrowCodec().dump(MANIFEST, Answer(table, 7), None)
    read = pa.ipc.open_stream(body).read_all()
    assert read.schema.metadata == {b"model": b"m", b"version": b"3", b"seed": b"7"}
    for name, values in table.items():
        column = read.column(name).combine_chunks()
        if isinstance(column, pa.FixedShapeTensorArray):
            assert np.array_equal(column.to_numpy_ndarray(), values)
        else:
            assert np.array_equal(np.array(column.to_pylist(), values.dtype), values)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.media_type)
def test_one_array_is_picked_and_what_there_is_is_named(codec: Any) -> None:
    answer = Answer({"p": np.array([0.5]), "anomaly": np.array([True])}, 1)
    picked = codec.dump(MANIFEST, answer, "anomaly")
    alone = codec.dump(MANIFEST, Answer({"anomaly": answer.arrays["anomaly"]}, 1), None)
    assert picked == alone != codec.dump(MANIFEST, answer, None)
    with pytest.raises(InvalidInputError, match="there is no 'q', only p, anomaly"):
        codec.dump(MANIFEST, answer, "q")


def test_infinities_are_null_in_json_and_themselves_elsewhere() -> None:
    answer = Answer({"y": np.array([-np.inf, 1.5]), "n": np.array([-(2**63), 2**63 - 1])})
    content = json.loads(JsonCodec().dump(MANIFEST, answer, None))
    assert (content["y"], content["n"]) == ([None, 1.5], [-(2**63), 2**63 - 1])
    assert np.load(io.BytesIO(NpyCodec().dump(MANIFEST, answer, "y"))).tolist() == [-np.inf, 1.5]


def test_one_long_text_is_not_made_as_many_as_there_are_rows() -> None:
    texts = np.array(["a" * 10_000, *["b"] * (MAX_TEXT_BYTES // 40_000)], np.dtypes.StringDType())
    with pytest.raises(NotAcceptableError, match="ask for JSON or Arrow"):
        NpyCodec().dump(MANIFEST, Answer({"reasons": texts}), None)
    assert len(JsonCodec().dump(MANIFEST, Answer({"reasons": texts}), None)) < 40_000


@pytest.mark.parametrize("codec", [NpyCodec(), ArrowCodec()], ids=lambda codec: codec.media_type)
@pytest.mark.parametrize("output", [None, "log_prob"])
def test_pieces_are_the_bytes_of_the_whole(codec: Any, output: str | None) -> None:
    x, log_prob = np.arange(12.0, dtype="f4").reshape(6, 2), np.arange(6.0)
    stream = codec.stream(MANIFEST, output)
    parts = [{"x": x[s], "log_prob": log_prob[s]} for s in (slice(0, 4), slice(4, 6))]
    length = stream.begin(parts[0], 6, 5)
    body = b"".join([*map(stream.piece, parts), stream.end()])
    assert length in (None, len(body))
    if isinstance(codec, NpyCodec):
        assert body == codec.dump(MANIFEST, Answer({"x": x, "log_prob": log_prob}), output)
    else:
        table = pa.ipc.open_stream(body).read_all()
        assert table.column("log_prob").to_pylist() == log_prob.tolist()
        assert table.column_names == ([output] if output else ["x", "log_prob"])
        assert table.schema.metadata[b"seed"] == b"5"


def test_what_is_written_all_at_once_has_no_stream() -> None:
    assert JsonCodec().stream(MANIFEST, None) is None
    assert WavCodec().stream(MANIFEST, None) is None
    stream = NpyCodec().stream(MANIFEST, None)
    assert stream is not None
    with pytest.raises(NotAcceptableError, match="text of one width"):
        stream.begin({"y": np.array(["a"])}, 1, 0)
