"""What Arrow bodies may cost: all of it is counted before pyarrow sees any of it."""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.codecs.arrow.flatbuffer import FlatTable
from service.codecs.arrow.memory import MAX_MESSAGES, measure_stream
from service.codecs.arrow.schema import MAX_FIELDS, MAX_NAME_BYTES
from service.codecs.arrow.table import read_table
from service.errors import MalformedBodyError, ServiceError, TooLargeError
from service.inflight import Reading, TakesLongError
from tests.helpers.examples import examples
from tests.helpers.parsers import BUDGET, LIMITS, arrow_stream, lists, tensors
from tests.helpers.reading import MANY, unbounded

MIB = 2**20


def read(body: bytes, max_rows: int = LIMITS.rows, *, on_loop: bool = False) -> dict[str, Any]:
    with BUDGET.share() as share:
        return read_table(body, Reading(LIMITS, share, on_loop=on_loop), max_rows)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Columns of every type that is read, a few rows each."""
    rows = draw(st.integers(0, 6))
    texts = draw(st.lists(st.text(max_size=20), min_size=rows, max_size=rows))
    numbers = np.arange(2 * rows, dtype=np.float32)
    kinds: dict[str, Any] = {
        "f8": pa.array(numbers[:rows], pa.float64()),
        "f2": pa.array(numbers[:rows], pa.float16()),
        "i1": pa.array(range(rows), pa.int8()),
        "lists": pa.FixedSizeListArray.from_arrays(pa.array(numbers), 2),
        "nested": pa.FixedSizeListArray.from_arrays(
            pa.FixedSizeListArray.from_arrays(pa.array(numbers), 2), 1
        ),
        "text": pa.array(texts, pa.string()),
        "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()),
        "words": pa.array(texts, pa.string()).dictionary_encode(),
        "coded": pa.array(range(rows), pa.int64()).dictionary_encode(),
        "pairs": pa.FixedSizeListArray.from_arrays(pa.array(texts * 2), 2),
    }
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=4, unique=True))
    return {name: kinds[name] for name in names}


@examples(80)
@given(tables(), st.sampled_from([None, "zstd", "lz4"]), st.sampled_from([None, 1, 2]))
def test_tables_of_every_type_are_read_and_measured(
    columns: dict[str, Any], compression: str | None, rows_per_batch: int | None
) -> None:
    body = arrow_stream(columns, compression=compression, rows_per_batch=rows_per_batch)
    reading = unbounded()
    arrays, size = read_table(body, reading, MANY), measure_stream(body, unbounded(), MANY)
    for name, column in columns.items():
        expected = np.array(column.to_pylist(), arrays[name].dtype)
        assert np.array_equal(arrays[name], expected.reshape(arrays[name].shape))
        assert len(arrays[name]) == size.rows == len(column)
    table = pa.ipc.open_stream(body).read_all()
    assert size.buffer_bytes >= (table.get_total_buffer_size() if compression else 0)
    if "f8" in columns and size.rows:
        assert size.converted_bytes >= sum(a.nbytes for a in arrays.values() if a.dtype.kind == "f")


def test_tensors_and_what_is_no_stream() -> None:
    assert read(arrow_stream({"x": tensors(np.zeros((2, 3, 4)))}))["x"].shape == (2, 3, 4)
    for body in (b"no table", b"\xff\xff\xff\xff", bytes(8), b"ARROW1\0\0", b"ARROW1\0\0" * 9):
        with pytest.raises(MalformedBodyError, match="not an Arrow stream"):
            read(body)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_a_file_is_read_as_the_stream_that_it_holds(compression: str | None) -> None:
    columns = {"a": np.arange(9.0), "b": pa.array(list("abcabcabc"), pa.string_view())}
    options: dict[str, Any] = {"compression": compression, "rows_per_batch": 4}
    stream, file = (read(arrow_stream(columns, as_file=f, **options)) for f in (False, True))
    assert stream.keys() == file.keys()
    assert all(np.array_equal(stream[name], file[name]) for name in stream)
    with pytest.raises(TooLargeError):
        read(arrow_stream({"x": ZEROS}, as_file=True, compression="lz4"))


ZEROS = np.zeros(8 * MIB, np.float32)
LONG = "x" * 4000
VIEWS = pa.array([LONG] + [""] * 999, pa.string_view())


def same_view(column: Any) -> Any:
    """A column whose texts are all the first one, which is there once."""
    _, views, *texts = column.buffers()
    first = views.to_pybytes()[:16]
    return pa.Array.from_buffers(
        column.type, len(column), [None, pa.py_buffer(first * len(column)), *texts]
    )


def empty_batches(count: int) -> bytes:
    file = pa.BufferOutputStream()
    schema = pa.schema([("x", pa.float32())])
    with pa.ipc.new_stream(file, schema) as writer:
        for _ in range(count):
            writer.write_batch(pa.record_batch([pa.array([], pa.float32())], schema=schema))
    return file.getvalue().to_pybytes()  # type: ignore[no-any-return]


def dictionary(texts: list[str], rows: int) -> Any:
    indices = pa.array(np.zeros(rows, np.int8))
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts))


def growing_dictionary(batches: int) -> bytes:
    """Each batch adds a text to the dictionary, which is copied for it."""
    file = pa.BufferOutputStream()
    kind = pa.dictionary(pa.int32(), pa.string())
    schema, options = pa.schema([("x", kind)]), pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    texts: list[str] = []
    with pa.ipc.new_stream(file, schema, options=options) as writer:
        for i in range(batches):
            texts.append(LONG + str(i))
            column = pa.DictionaryArray.from_arrays(pa.array([i], pa.int32()), pa.array(texts))
            writer.write_batch(pa.record_batch([column], schema=schema))
    return file.getvalue().to_pybytes()  # type: ignore[no-any-return]


def aliased(columns: int) -> bytes:
    """Columns whose buffers are all the same bytes, which are there once."""
    table = {f"c{i}": np.zeros(LIMITS.rows) for i in range(columns)}
    body = bytearray(arrow_stream(table))
    start = _message_end(body, 0)
    head = start + 8
    metadata = bytes(body[head : head + int.from_bytes(body[start + 4 : head], "little")])
    batch = FlatTable.root(metadata).table(2)
    assert batch is not None
    first, count = batch.vector(2)
    shared = struct.pack("<4q", 0, 0, 0, 8 * LIMITS.rows)
    body[head + first : head + first + 16 * count] = shared * (count // 2)
    return bytes(body)


def _message_end(body: bytearray, place: int) -> int:
    length = int.from_bytes(body[place + 4 : place + 8], "little")
    return place + 8 + length


TOO_LARGE: dict[str, tuple[bytes, str]] = {
    "zstd": (
        arrow_stream({"x": lists([ZEROS])}, compression="zstd"),
        "may have 1048576 bytes, decomp",
    ),
    "lz4": (
        arrow_stream({"x": lists([ZEROS[:MIB]])}, compression="lz4"),
        "may have 1048576 bytes, decomp",
    ),
    "rows": (arrow_stream({"x": np.zeros(LIMITS.rows + 1, "i1")}), "may have 16384 rows"),
    "indices": (arrow_stream({"x": dictionary([LONG], 3 * MIB)}, compression="zstd"), "16384 rows"),
    "a dictionary": (arrow_stream({"x": dictionary([LONG], 1000)}), "4000000 bytes where each row"),
    "views": (arrow_stream({"x": same_view(VIEWS)}), "4000000 bytes where each row"),
    "texts": (
        arrow_stream({"a": pa.array(["a"] * 9000), "b": pa.array(["a"] * 9000)}),
        "may have 16384 texts",
    ),
    "batches": (empty_batches(MAX_MESSAGES), f"may have {MAX_MESSAGES} batches"),
    "a dictionary that grows": (growing_dictionary(40), "may have 1048576 bytes"),
    "buffers that are one": (aliased(10), "may have 1048576 bytes"),
    "metadata": (arrow_stream({"x" * MAX_NAME_BYTES: [1]}), "1048576 bytes of metadata"),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_comes_to_too_much_is_refused(case: str) -> None:
    body, words = TOO_LARGE[case]
    assert len(body) < 3 * MIB
    before = pa.total_allocated_bytes()
    with pytest.raises(TooLargeError, match=words):
        read(body)
    assert pa.total_allocated_bytes() - before < MIB
    assert BUDGET.held == 0


def test_the_budget_is_charged_for_what_is_decompressed_and_converted() -> None:
    body = arrow_stream({"a": np.zeros(16000), "b": np.zeros(16000)}, compression="zstd")
    with BUDGET.share() as share:
        read_table(body, Reading(LIMITS, share), LIMITS.rows)
        assert share.held >= 2 * 16000 * (8 + 8 + 4)
    with BUDGET.share() as others:
        others.charge(BUDGET.limit - 10_000)
        with pytest.raises(ServiceError, match="may hold together"):
            read(body)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"x": pa.array([True])}, "bool"),
        ({"x": pa.nulls(1)}, "null"),
        ({"x": pa.array([[1], [1, 2]])}, "list"),
        ({"x": pa.array([{"a": 1}])}, "struct"),
        ({"x": pa.array([b"a"])}, "binary"),
        ({"x": pa.array([1], pa.timestamp("s", "Europe/Berlin"))}, "timestamp"),
        ({"x": pa.FixedSizeListArray.from_arrays(pa.nulls(2), 2)}, "null"),
        ({"x": pa.RunEndEncodedArray.from_arrays([1], [1])}, "run-end-encoded"),
    ],
)
def test_columns_of_other_types_are_refused_by_name(columns: dict[str, Any], kind: str) -> None:
    with pytest.raises(MalformedBodyError, match=f"column '(x|item)' is of {kind}, not numbers"):
        read(arrow_stream(columns))


def crafted_schema(fields: int) -> bytes:
    """A stream of a schema whose columns are all one table."""
    name = struct.pack("<I", 1) + b"x\0\0\0"
    # tables as the format has them: a vtable, then the distance to it and the fields
    message = struct.pack("<6H", 12, 24, 4, 6, 8, 16)
    head = struct.pack("<I", 16) + message
    head += struct.pack("<ihBxIIq", 12, 4, 1, 24, 0, 0)  # its header, the schema, follows
    head += struct.pack("<4H", 8, 8, 0, 4)
    schema = struct.pack("<iI", 8, 4) + struct.pack("<I", fields)
    at_field = 16  # past the vtable below
    offsets = b"".join(struct.pack("<I", 4 * (fields - i) + at_field) for i in range(fields))
    field = struct.pack("<8H", 14, 16, 4, 0, 8, 12, 0, 0)
    field += struct.pack("<iIBxxxI", 16, 12, 2, 12 + 4)  # name, kind, type
    kind = struct.pack("<2Hi", 4, 4, 4)
    metadata = head + schema + offsets + field + name + kind
    metadata += bytes(-len(metadata) % 8)
    return (
        struct.pack("<Ii", 0xFFFFFFFF, len(metadata)) + metadata + struct.pack("<Ii", 0xFFFFFFFF, 0)
    )


def test_a_schema_whose_columns_are_one_table_is_not_made_into_as_many_objects() -> None:
    few = measure_stream(crafted_schema(5), unbounded(), MANY)
    assert (few.schema.columns, few.rows) == (5, 0)
    with pytest.raises(TooLargeError, match=f"may have {MAX_FIELDS} columns"):
        read(crafted_schema(MAX_FIELDS + 1))


def test_small_tables_are_read_on_the_event_loop_and_others_are_not() -> None:
    assert read(arrow_stream({"x": lists(np.zeros((8, 64)))}), on_loop=True)["x"].shape == (8, 64)
    for body in (
        arrow_stream({"x": lists(np.zeros((8, 64)))}, compression="zstd"),
        arrow_stream({"a": np.zeros(8000), "b": np.zeros(8000)}),
        arrow_stream({f"c{i}": [1.0] for i in range(300)}),
        arrow_stream({"x": pa.array(["a"] * 1000)}),
        empty_batches(100),
    ):
        with pytest.raises(TakesLongError):
            read(body, on_loop=True)
        assert read(body)
