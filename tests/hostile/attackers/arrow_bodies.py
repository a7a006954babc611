"""Arrow whose buffers are compressed, shared or empty, and whose rows cost nothing to write."""

import io
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from tests.hostile.attacker import REFUSED, body_attacker

ARROW_TYPE = "application/vnd.apache.arrow.stream"
ANSWERED = REFUSED | {200}


def stream(batches: list[Any], schema: Any = None, codec: str | None = None) -> bytes:
    """Record batches as a stream."""
    out = io.BytesIO()
    options = ipc.IpcWriteOptions(compression=codec)
    with ipc.new_stream(
        out, batches[0].schema if schema is None else schema, options=options
    ) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return out.getvalue()


def batch(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)


def compressed(codec: str, scale: float) -> bytes:
    """A gigabyte of zeros in two columns, in some thousand bytes."""
    values = pa.array(np.zeros(int(64e6 * scale) * 2 + 2))
    return stream(
        [batch(a=values.slice(0, len(values) // 2), b=values.slice(len(values) // 2))], codec=codec
    )


def compressed_text(scale: float) -> bytes:
    """Hundreds of megabytes of one letter, as one text."""
    text = "a" * int(500e6 * scale)
    return stream([batch(x=pa.array([text]))], codec="zstd")


def many_compressed(scale: float) -> bytes:
    """Thousands of batches, none of which is large."""
    one = batch(a=pa.array(np.zeros(1000)), b=pa.array(np.zeros(1000)))
    return stream([one] * max(2, int(30_000 * scale)), codec="lz4")


def dictionary(scale: float) -> bytes:
    """20 million rows of the one text of a dictionary, compressed to some thousand bytes."""
    indices = pa.array(np.zeros(int(20e6 * scale), np.int8))
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 50]))
    return stream([batch(x=column)], codec="zstd")


def dictionary_of_lists(scale: float) -> bytes:
    """Rows of a dictionary whose one value is a list of a million numbers."""
    values = pa.array([[0.0] * max(1, int(1e6 * scale))])
    indices = pa.array(np.zeros(max(1, int(60_000 * scale)), np.int8))
    return stream([batch(x=pa.DictionaryArray.from_arrays(indices, values))], codec="zstd")


def dictionary_context(scale: float) -> bytes:
    """Contexts by a dictionary of many values that no row uses."""
    count = max(1, int(1e6 * scale))
    names = pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int32()), pa.array([f"name {i}" for i in range(count)])
    )
    return stream([batch(x=pa.array([[0.0, 0.0]], pa.list_(pa.float64(), 2)), context=names)])


def aliased(scale: float) -> bytes:
    """5,000 columns of 99,900 rows, all of which are the same 400 KB of the body."""
    rows, size, padded = 999, 3996, 4000
    column = pa.array(np.zeros(rows, np.float32))
    count = max(2, int(5_000 * scale))
    written = stream([batch(**{f"c{i}": column for i in range(count)})])
    # the metadata of the batch ends where the zeros of its columns begin
    schema = 8 + int.from_bytes(written[4:8], "little")
    start = schema + 8
    end = start + int.from_bytes(written[schema + 4 : start], "little")
    words = np.frombuffer(written[start:end], "<i8").copy()
    offsets = np.flatnonzero(words[1:] == size)
    words[offsets] = 0
    words[words == rows] = 100 * rows
    words[words == size] = 100 * size
    words[words == count * padded] = 100 * padded
    return written[:start] + words.tobytes() + bytes(100 * padded) + written[end + count * padded :]


def list_views(scale: float) -> bytes:
    """Rows that are views of the same values: 60,000 rows of 100,000 numbers in 2 MB."""
    rows, width = max(1, int(60_000 * scale)), max(2, int(100_000 * scale))
    column = pa.ListViewArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)),
        pa.array(np.full(rows, width, np.int32)),
        pa.array(np.zeros(width)),
    )
    return stream([batch(x=column)])


def nulls(scale: float) -> bytes:
    """Two billion rows of nothing, which take no bytes."""
    return stream([batch(x=pa.nulls(max(1, int(2e9 * scale))))])


def run_ends(scale: float) -> bytes:
    """Two billion rows in one run."""
    rows = max(1, int((2**31 - 1) * scale))
    column = pa.RunEndEncodedArray.from_arrays(pa.array([rows], pa.int32()), pa.array([0.0]))
    return stream([batch(x=column)])


def string_views(scale: float) -> bytes:
    """Views of one text, row after row."""
    column = pa.array(["a" * 1000] * max(1, int(100_000 * scale)), pa.string_view())
    return stream([batch(x=column)])


def empty_batches(scale: float) -> bytes:
    """100,000 batches without a row."""
    schema = pa.schema([("a", pa.float64()), ("b", pa.float64())])
    empty = pa.RecordBatch.from_arrays([pa.array([], pa.float64())] * 2, schema=schema)
    return stream([empty] * max(2, int(100_000 * scale)), schema)


def many_columns(scale: float) -> bytes:
    """A row of 100,000 columns."""
    count = max(3, int(100_000 * scale))
    return stream([batch(**{f"c{i}": pa.array([0.0]) for i in range(count)})])


def deep_type(scale: float) -> bytes:
    """Lists in lists, as deep as pyarrow writes them."""
    kind = pa.float64()
    for _ in range(60):
        kind = pa.list_(kind)
    return stream([pa.RecordBatch.from_arrays([pa.array([], kind)], ["x"])])


def long_metadata(scale: float) -> bytes:
    """A schema with 60 MB of metadata."""
    schema = pa.schema([("x", pa.float64())], {"k": "v" * int(60e6 * scale)})
    return stream([pa.RecordBatch.from_arrays([pa.array([0.0])], schema=schema)], schema)


def no_column(scale: float) -> bytes:
    return stream([], pa.schema([]))


def of_limit(scale: float) -> bytes:
    """64 MiB of rows, as lists of two."""
    values = pa.array(np.zeros(int(8.3e6 * scale) // 2 * 2 + 2))
    return stream([batch(x=pa.FixedSizeListArray.from_arrays(values, 2))])


def rows_of_limit(scale: float) -> bytes:
    """As many rows as one request may have."""
    values = pa.array(np.zeros(2 * max(1, int(65_536 * scale))))
    return stream([batch(x=pa.FixedSizeListArray.from_arrays(values, 2))])


def feather(scale: float) -> bytes:
    """An Arrow file with compressed buffers."""
    out = io.BytesIO()
    table = batch(a=pa.array(np.zeros(int(60e6 * scale))))
    options = ipc.IpcWriteOptions(compression="zstd")
    with ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_batch(table)
    return out.getvalue()


def announced(scale: float) -> bytes:
    """A message that says it is 2 GB long, and is not there."""
    return b"\xff\xff\xff\xff" + (2**31 - 8).to_bytes(4, "little") + bytes(100)


for name, line, guards, *make in (
    (
        "arrow-compressed",
        "B1",
        "a gigabyte in 33 KB is refused unread",
        partial(compressed, "zstd"),
        partial(compressed, "lz4"),
        compressed_text,
    ),
    ("arrow-compressed-batches", "B1", "the limit holds over all batches", many_compressed),
    ("arrow-dictionary", "B2", "20 million rows of one text are refused by number", dictionary),
    (
        "arrow-dictionary-values",
        "B2",
        "values that each row repeats, or that none uses",
        dictionary_of_lists,
        dictionary_context,
    ),
    (
        "arrow-shared-buffers",
        "B1",
        "columns and rows that are the same bytes are counted each",
        aliased,
        list_views,
        string_views,
    ),
    ("arrow-rows-of-nothing", "B2", "two billion rows that take no bytes", nulls, run_ends),
    ("arrow-empty-batches", "B1", "100,000 batches without a row", empty_batches),
    (
        "arrow-schemas",
        "B1",
        "100,000 columns, lists in lists, and metadata of 60 MB",
        many_columns,
        deep_type,
        long_metadata,
        no_column,
    ),
    (
        "arrow-of-limit",
        "vii",
        "64 MiB of rows, and requests of the most rows",
        of_limit,
        rows_of_limit,
    ),
    ("arrow-files", "B20", "an Arrow file is read or said, not decompressed", feather, announced),
):
    body_attacker(
        name,
        line,
        guards,
        *make,
        path="/log_prob?model=tiny",
        kind=ARROW_TYPE,
        expected=ANSWERED,
        quick=0.005,
    )
