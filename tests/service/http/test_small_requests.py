"""What small requests save: the same answers, from what is remembered or left out."""

import asyncio
import io
import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from service.codecs import CODECS
from service.codecs.arrow import messages
from service.codecs.arrow.table import read_table
from service.http.asgi_route import WholeAnswer
from service.http.connections.reading import CACHED_URL_BYTES, _split_url
from service.operations import Answer
from service.operations.values import QUICK_TEXT_BYTES, count_booleans, number_array, to_float32
from tests.helpers.parsers import LIMITS, arrow_stream
from tests.helpers.reading import unbounded
from tests.helpers.wire import Party

MANIFEST: Any = SimpleNamespace(name="moons", version=3)
ARROW = next(codec for codec in CODECS if "arrow" in codec.media_type)


@given(st.lists(st.booleans() | st.none() | st.text("truefals\\"), max_size=5))
def test_truths_of_short_texts_are_counted_as_those_of_long_ones(values: list[Any]) -> None:
    text = json.dumps(values).encode()
    longer = text + b" " * QUICK_TEXT_BYTES
    assert count_booleans(text, len(text)) == count_booleans(longer, len(longer))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)))
def test_numbers_of_json_are_rounded_once_where_float32_holds_them(values: list[Any]) -> None:
    found = number_array(values)
    assert found is not None
    with np.errstate(over="ignore"):
        expected = np.array([float(value) for value in values]).astype(np.float32)
    if np.isfinite(expected).all():
        assert found.dtype == np.float32
        assert found.tobytes() == expected.tobytes()
    else:  # the error names what came
        assert found.tolist() == [float(value) for value in values]
        with pytest.raises(ValueError, match="expected finite float32 numbers"):
            to_float32(found)


@pytest.mark.parametrize("headers", [None, {"X-Bijecta-Model": "moons"}])
def test_a_whole_answer_is_starlettes(headers: dict[str, str] | None) -> None:
    ours = WholeAnswer(b"abc", "application/json", headers)
    other = Response(b"abc", media_type="application/json", headers=headers)
    assert sorted(ours.raw_headers) == sorted(other.raw_headers)
    assert (ours.status_code, ours.body) == (other.status_code, other.body)
    ours.headers["Connection"] = "close"
    assert (b"connection", b"close") in ours.raw_headers


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 2, 3)])
def test_a_table_is_the_stream_that_pyarrow_writes(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    answer = Answer({"z": values, "log_prob": np.zeros(5, np.float32)}, 7)
    written = ARROW.dump(MANIFEST, answer, None)
    with pa.ipc.open_stream(written) as stream:
        schema, batches = stream.schema, list(stream)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    assert written == sink.getvalue()
    assert read_table(written, unbounded(), LIMITS.rows)["z"].tolist() == values.tolist()


def test_batches_of_one_size_are_looked_through_once_and_long_ones_not_kept() -> None:
    def read(columns: int, start: int) -> None:
        values = np.arange(start, start + 3.0)
        table = {f"x{i}": pa.array(values) for i in range(columns)}
        found = read_table(arrow_stream(table), unbounded(), LIMITS.rows)
        assert all(column.tolist() == values.tolist() for column in found.values())

    seen = messages._read.cache_info()
    for start in range(4):
        read(2, start)
    again = messages._read.cache_info()
    assert again.misses <= seen.misses + 1
    assert again.hits >= seen.hits + 3
    read(messages.CACHED_BYTES, 0)
    assert messages._read.cache_info().currsize == again.currsize


@pytest.mark.parametrize("size", [1, CACHED_URL_BYTES, 4 * CACHED_URL_BYTES])
def test_urls_are_split_alike_however_often_they_come(size: int) -> None:
    async def work() -> None:
        caller = Party().caller()
        for query in (b"?b=%20c", b"?b", b""):
            target = b"/" + b"a" * size + query
            for _ in range(2):
                await caller.says(b"GET %b HTTP/1.1\r\n\r\n" % target)
                path, _, text = target.partition(b"?")
                assert (await caller.hears()).endswith(b"GET %b?%b 0 " % (path, text))

    before = _split_url.cache_info().currsize
    asyncio.run(work())
    if size > CACHED_URL_BYTES:
        assert _split_url.cache_info().currsize == before
