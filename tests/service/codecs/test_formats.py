"""Arrow over HTTP, and samples that come a piece at a time."""

import io
import math
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from service.codecs.arrow.codec import TableStream
from service.codecs.arrow.table import read_table
from service.errors import ServiceError
from service.types import Float32
from tests.helpers.http import ARROW, DIGITS, MOONS, NPY, ask, ask_npy, metric
from tests.helpers.reading import MANY, unbounded


def stream(columns: dict[str, Any]) -> bytes:
    """A table as pyarrow writes it."""
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def lists(rows: Any) -> Any:
    """Rows as a column of lists of one length."""
    rows = np.asarray(rows)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])


def ask_arrow(client: httpx.Client, endpoint: str, body: bytes, **query: Any) -> pa.Table:
    headers = {"content-type": ARROW, "accept": ARROW}
    answer = client.post(endpoint, content=body, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == ARROW
    return pa.ipc.open_stream(answer.content).read_all()


def rows_of(table: pa.Table, name: str) -> NDArray[np.float32]:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.FixedSizeListArray):
        return column.flatten().to_numpy().reshape(len(column), -1)  # type: ignore[no-any-return]
    return column.to_numpy()  # type: ignore[no-any-return]


NAMED: Any = SimpleNamespace(name="m", version=1)
"""As much of a manifest as a table says."""

FLOAT32 = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4),
    elements=st.floats(width=32, allow_nan=False),
)


@given(st.lists(FLOAT32, min_size=1, max_size=3))
def test_tables_survive_arrow_bit_for_bit_as_pyarrow_reads_them(columns: list[Float32]) -> None:
    count = min(map(len, columns))
    table = {str(i): column[:count] for i, column in enumerate(columns)}
    writer = TableStream(NAMED, None)
    writer.begin(table, 2 * count, 0)
    body = writer.piece(table) + writer.piece(table) + writer.end()
    read = read_table(body, unbounded(), MANY)
    for name, values in table.items():
        twice = np.concatenate([values, values])
        assert np.array_equal(read[name], twice)
        assert np.array_equal(rows_of_any(pa.ipc.open_stream(body).read_all(), name), twice)


def rows_of_any(table: pa.Table, name: str) -> NDArray[np.float32]:
    chunks = table.column(name).chunks
    if isinstance(chunks[0], pa.FixedShapeTensorArray):
        return np.concatenate([chunk.to_numpy_ndarray() for chunk in chunks])
    return rows_of(table, name)


@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=4))
def test_no_body_breaks_the_parser(body: bytes, place: int, wrong: bytes) -> None:
    sound = stream({"x": lists(np.zeros((2, 3), np.float32)), "y": [1.0, 2.0]})
    for attempt in (body, sound[:place] + wrong + sound[place + len(wrong) :], sound[:place]):
        with suppress(ServiceError):  # and nothing else
            read_table(attempt, unbounded(), MANY)


def test_arrow_says_the_same_as_json(client: httpx.Client) -> None:
    x = MOONS[:20].astype(np.float32)
    said = ask(client, "/encode", model="moons-maf", x=x.tolist())
    as_lists = ask_arrow(client, "/encode", stream({"x": lists(x)}), model="moons-maf")
    as_columns = stream({"y": x[:, 1].astype(np.float64), "x": x[:, 0]})
    for table in (as_lists, ask_arrow(client, "/encode", as_columns, model="moons-maf")):
        assert table.column_names == ["z", "log_prob"]
        np.testing.assert_array_equal(rows_of(table, "z"), np.float32(said["z"]))
        np.testing.assert_array_equal(rows_of(table, "log_prob"), np.float32(said["log_prob"]))
        assert table.schema.metadata == {b"model": b"moons-maf", b"version": b"1"}
    only = ask_arrow(client, "/encode", as_columns, model="moons-maf", output="log_prob")
    assert only.column_names == ["log_prob"]


def test_arrow_carries_context_and_images(client: httpx.Client) -> None:
    x = MOONS[:3].astype(np.float32)
    context = pa.array([["0.5", "upper"]] * 3, pa.list_(pa.string(), 2))
    body = stream({"x": lists(x), "context": context})
    table = ask_arrow(client, "/log_prob", body, model="moons-context")
    said = ask(
        client, "/log_prob", model="moons-context", x=x.tolist(), context=[[0.5, "upper"]] * 3
    )
    np.testing.assert_array_equal(rows_of(table, "log_prob"), np.float32(said["log_prob"]))
    drawn = client.post("/sample?model=digits-image&n=3&context=7", headers={"accept": ARROW})
    images = pa.ipc.open_stream(drawn.content).read_all()
    assert images.schema.field("x").type.shape == [1, 8, 8]
    scored = ask_arrow(
        client, "/log_prob", stream({"x": images.column("x")}), model="digits-image", context="7"
    )
    np.testing.assert_allclose(
        rows_of(scored, "log_prob"), rows_of(images, "log_prob"), rtol=0, atol=1e-3
    )


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "nulls": ({"a": [1.0, None], "b": [1.0, 2.0]}, 400, "has nulls"),
    "truth": ({"a": [True], "b": [False]}, 400, "is of bool"),
    "ragged": ({"x": [[1.0], [1.0, 2.0]]}, 400, "is of list, not numbers"),
    "too few": ({"0": [1.0]}, 422, "expected N × 2 numbers, got shape (1, 1)"),
    "text": ({"x": ["b"], "y": ["d"]}, 422, "column 'x' holds text"),
    "not finite": ({"y": [0.0], "x": [math.nan]}, 422, "[0][0] is nan"),
    "beside x": ({"x": lists(np.zeros((1, 2))), "b": [0.0]}, 422, "and also 'b'"),
    "lists of another name": ({"y": lists(np.zeros((1, 2)))}, 422, "expected a column 'x'"),
    "other names": ({"x": [0.0], "z": [0.0]}, 422, "lacks 'y', and has 'z'"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_bad_tables(client: httpx.Client, wrong: str) -> None:
    columns, status, words = BAD[wrong]
    headers = {"content-type": ARROW}
    url = "/log_prob?model=moons-maf"
    answer = client.post(url, content=stream(columns), headers=headers)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]
    assert client.post(url, content=b"no table", headers=headers).status_code == 400


@pytest.mark.parametrize("kind", [NPY, ARROW])
def test_a_long_sample_comes_in_pieces_that_are_those_of_a_short_one(
    client: httpx.Client, kind: str
) -> None:
    n = 100_000  # more than an answer in JSON may have
    url = f"/sample?model=moons-iaf&n={n}&seed=4"
    x: NDArray[np.float32]
    with client.stream("POST", url, headers={"accept": kind}) as answer:
        pieces = list(answer.iter_raw())
        body = b"".join(pieces)
    assert len(pieces) > 2
    assert answer.headers["x-bijecta-seed"] == "4"
    few, _ = ask_npy(client, "/sample", None, model="moons-iaf", n=10, seed=4)
    if kind == NPY:
        x = np.load(io.BytesIO(body))
        assert int(answer.headers["content-length"]) == len(body)
    else:
        table = pa.ipc.open_stream(body).read_all()
        x = rows_of(table, "x")
        assert table.num_rows == n
        assert table.schema.metadata[b"seed"] == b"4"
    assert x.shape == (n, 2)
    np.testing.assert_allclose(x[:10], few, rtol=0, atol=1e-5 * float(np.ptp(few)))
    assert client.post("/sample", json={"model": "moons-iaf", "n": n}).status_code == 413
    assert (
        client.post("/sample?model=moons-iaf&n=10000001", headers={"accept": kind}).status_code
        == 413
    )
    assert client.post(url + "&output=z", headers={"accept": kind}).status_code == 422


def test_a_caller_that_leaves_a_long_sample_stops_it(client: httpx.Client) -> None:
    before = metric(client, "bijecta_batch_rows_sum", model="digits-nice", graph="decode")
    url = "/sample?model=digits-nice&n=5000000"
    with client.stream("POST", url, headers={"accept": NPY}) as answer:
        next(answer.iter_raw())
    ask(client, "/encode", model="digits-nice", x=DIGITS[:1].tolist())
    drawn = metric(client, "bijecta_batch_rows_sum", model="digits-nice", graph="decode") - before
    assert drawn < 1_000_000
    assert metric(client, "bijecta_inflight_requests") == 1
