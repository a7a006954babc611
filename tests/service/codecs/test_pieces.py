"""Large answers are written a piece at a time: the same bytes, and no piece takes long to make."""

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service import codecs
from service.codecs import Codec, json_writer
from service.codecs.base import CSV_TYPE, PARQUET_TYPE, PNG_TYPE
from service.codecs.flat_columns import MAX_COLUMNS
from service.codecs.json_writer import PIECE_NUMBERS, json_pieces
from service.open_inference import protocol
from service.operations import Answer

MANIFEST: Any = SimpleNamespace(
    name="moons",
    version=3,
    sound=SimpleNamespace(full_scale=1.0, rate=8000),
    picture=None,
    column_names=None,
    typed=None,
    event_shape=[2],
    latent_shape=[2],
)
# Those that write rows of any shape.
CODECS = [codec for codec in codecs.CODECS if codec.media_type != PNG_TYPE]
SHAPES = [(7,), (PIECE_NUMBERS + 1,), (3 * PIECE_NUMBERS, 2), (5, 3, 4), (3, PIECE_NUMBERS + 5)]
DTYPES = ["<f4", ">f4", "<f8", "<i8", "bool"]


def filled(shape: tuple[int, ...], dtype: str = "<f4") -> Any:
    return np.random.default_rng(3).normal(0, 9, shape).astype(dtype)


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            arrays.arrays(
                st.sampled_from(["<f8", ">f8", "<i4", "bool"]),
                arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
            )
            | st.integers(-9, 9)
            | st.text(max_size=3)
            | st.none(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=2), inner, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=4,
    ),
    st.integers(1, 7),
)
def test_pieces_of_json_are_the_whole(content: Any, numbers: int) -> None:
    before = json_writer.PIECE_NUMBERS, json_writer.MIN_PIECE_BYTES
    try:
        json_writer.PIECE_NUMBERS, json_writer.MIN_PIECE_BYTES = numbers, 4
        pieced = b"".join(json_pieces(content))
    finally:
        json_writer.PIECE_NUMBERS, json_writer.MIN_PIECE_BYTES = before
    assert orjson.loads(pieced) == orjson.loads(orjson.dumps(_lists(content)))


def _lists(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _lists(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_lists(value) for value in content]
    return content.tolist() if isinstance(content, np.ndarray) else content


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.media_type)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_large_answer_in_pieces_is_the_answer(codec: Codec, shape: tuple[int, ...]) -> None:
    x = filled(shape)
    if x[0].size > MAX_COLUMNS and codec.media_type in (CSV_TYPE, PARQUET_TYPE):
        pytest.skip("of so many columns such a codec writes none")
    answer = Answer({"x": x, "log_prob": filled(shape[:1])}, seed=7)
    whole = codec.dump(MANIFEST, answer, None)
    length, pieces = codec.pieces(MANIFEST, answer, None)
    pieced = b"".join(pieces)
    assert length in (None, len(pieced))
    if codec.media_type.endswith("arrow.stream"):  # one batch, or several
        assert _table(pieced).equals(_table(whole))
    else:
        assert pieced == whole


def _table(body: bytes) -> Any:
    return pa.ipc.open_stream(io.BytesIO(body)).read_all().combine_chunks()


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.media_type)
def test_text_in_a_large_answer(codec: Codec) -> None:
    texts = np.array(["a", "bc", ""] * 9, np.dtypes.StringDType())
    answer = Answer({"x": filled((27, 2)), "reason": texts})
    _, pieces = codec.pieces(MANIFEST, answer, None)
    pieced = b"".join(pieces)
    if codec.media_type.endswith("arrow.stream"):
        assert _table(pieced)["reason"].to_pylist() == texts.tolist()
    else:
        assert pieced == codec.dump(MANIFEST, answer, None)


@pytest.mark.parametrize("binary", [(True, True), (False, False), (True, False), (False, True)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_large_answer_of_the_protocol_in_pieces_is_the_answer(
    binary: tuple[bool, bool], dtype: str
) -> None:
    outputs = {"x": filled((PIECE_NUMBERS + 3, 2), dtype), "log_prob": filled((9,))}
    is_binary = dict(zip(outputs, binary, strict=True))
    whole, json_bytes = protocol.dump({"model_name": "moons"}, outputs, is_binary)
    length, total, pieces = protocol.dump_pieces({"model_name": "moons"}, outputs, is_binary)
    pieced = b"".join(pieces)
    assert pieced == whole
    assert length == (json_bytes if any(binary) else 0)
    assert total == (len(whole) if any(binary) else None)


def test_no_piece_of_json_is_of_more_numbers_than_take_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []
    dumps = orjson.dumps

    def counting(value: Any, *arguments: Any, **options: Any) -> bytes:
        written.append(getattr(value, "size", 0))
        return dumps(value, *arguments, **options)

    monkeypatch.setattr(orjson, "dumps", counting)
    x = filled((5, 3, PIECE_NUMBERS // 2))
    pieces = list(json_pieces({"x": x, "seed": 3}))
    assert max(written) <= PIECE_NUMBERS
    assert sum(written) == x.size
    assert max(map(len, pieces)) < 30 * PIECE_NUMBERS
