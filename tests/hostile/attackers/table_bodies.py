"""Tables of typed columns as Parquet, CSV and JSON: few bytes for much, and what has no end."""

import io
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.attacker import REFUSED, body_attacker
from tests.hostile.attackers.json_bodies import JSON_BYTES, JSON_VALUES, filled

PARQUET_TYPE, CSV_TYPE = "application/vnd.apache.parquet", "text/csv"
ANSWERED = REFUSED | {200}
NAMES = ("amount", "count", "country", "seen")
DAY = 19_782


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    """Columns as a file."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def equal_values(scale: float) -> bytes:
    """As many rows of equal values as two columns hold in some kilobytes: 30 million."""
    rows = max(2, int(30e6 * scale))
    columns = {name: np.zeros(rows) for name in ("amount", "count")}
    return parquet(columns, compression="zstd", row_group_size=rows)


def equal_texts(scale: float) -> bytes:
    """60,000 rows of the one text of a dictionary, of a megabyte."""
    codes = pa.array(np.zeros(max(1, int(60_000 * scale)), np.int32))
    text = "a" * max(1, int(1e6 * scale))
    return parquet({"country": pa.DictionaryArray.from_arrays(codes, pa.array([text]))})


def long_prefixes(scale: float) -> bytes:
    """30,000 rows whose texts are the text before and nothing more, as differences."""
    texts = pa.array(["a" * max(1, int(2e3 * scale))] * max(1, int(30_000 * scale)))
    options = {"use_dictionary": False, "column_encoding": {"country": "DELTA_BYTE_ARRAY"}}
    return parquet({"country": texts}, **options)


def nothing(scale: float) -> bytes:
    """Millions of rows of no value."""
    return parquet({"amount": pa.nulls(max(1, int(2**25 * scale)))})


def row_groups(scale: float) -> bytes:
    """10,000 row groups of a row."""
    rows = max(2, int(10_000 * scale))
    return parquet({name: np.zeros(rows) for name in NAMES}, row_group_size=1)


def parquet_columns(scale: float) -> bytes:
    """30,000 columns of a value."""
    return parquet({f"c{i}": [0.0] for i in range(max(2, int(30_000 * scale)))})


def deep_columns(_: float) -> bytes:
    """Lists in lists."""
    value: Any = 0.0
    for _ in range(60):
        value = [value]
    return parquet({"amount": [value]})


def with_footer(footer: bytes, pages: bytes = b"") -> bytes:
    """A file of a footer."""
    return b"PAR1" + pages + footer + struct.pack("<I", len(footer)) + b"PAR1"


def huge_footer(scale: float) -> bytes:
    """A footer of 60 MB."""
    return with_footer(bytes(int(60e6 * scale)))


def many_fields(scale: float) -> bytes:
    """A footer of a megabyte, a field in each of its bytes."""
    count = int(1_000_000 * scale)
    size = bytes([count & 127 | 128, count >> 7 & 127 | 128, count >> 14])
    return with_footer(b"\xf9\xfc" + size + bytes(count))


def empty_pages(scale: float) -> bytes:
    """A million pages of no value, in a column that says it has one."""
    page = b"\x15\x00\x15\x00\x15\x00\x2c\x15\x00\x15\x00\x15\x06\x15\x06\x00\x00"
    pages = page * max(1, int(1_000_000 * scale))
    size = bytes(
        [len(pages) * 2 & 127 | 128]
        + [len(pages) * 2 >> 7 * i & 127 | 128 for i in (1, 2, 3)]
        + [0]
    )
    details = (
        b"\x15\x0a\x19\x15\x00\x19\x18\x01a\x15\x00\x16\x02\x16\x02\x16" + size + b"\x26\x08\x00"
    )
    chunk = b"\x26\x00\x1c" + details + b"\x00"
    group = b"\x19\x1c" + chunk + b"\x16\x02\x16\x02\x00"
    schema = b"\x19\x2c\x48\x01r\x15\x02\x00" + b"\x15\x0a\x25\x00\x18\x01a\x00"
    return with_footer(b"\x15\x02" + schema + b"\x16\x02\x19\x1c" + group + b"\x00", pages)


def parquet_of_limit(scale: float) -> bytes:
    """As many rows as one request may have, of every kind."""
    rows = max(2, int(65_536 * scale))
    numbers = np.random.default_rng(0).normal(size=rows)
    return parquet(
        {
            "amount": numbers,
            "count": np.arange(rows) % 11 / 10,
            "country": np.char.add("c", np.arange(rows).astype(str)).tolist(),
            "seen": pa.array(DAY + np.arange(rows, dtype=np.int32) % 366).cast(pa.date32()),
        }
    )


def csv_of(line: bytes, size: int = JSON_BYTES, end: bytes = b"") -> Callable[[float], bytes]:
    """The header, and a line again and again."""
    return lambda scale: filled(",".join(NAMES).encode() + b"\n", line, end, scale, size)


def only(line: bytes) -> Callable[[float], bytes]:
    """No header, and a line again and again."""
    return lambda scale: filled(b"", line, b"", scale, JSON_BYTES)


def one_line(scale: float) -> bytes:
    """60 MB without an end of a line."""
    return b"amount" * max(1, int(10e6 * scale))


def csv_columns(scale: float) -> bytes:
    """A million columns."""
    return b",".join(b"c%d" % i for i in range(max(2, int(1_000_000 * scale))))


def header_of_limit(scale: float) -> bytes:
    """As many names as there may be cells."""
    return b",".join(b"c%d" % i for i in range(max(2, int((JSON_VALUES - 9) * scale))))


def open_quote(scale: float) -> bytes:
    """A quote that is never closed, in lines and in one."""
    return filled(b'amount\n"', b"a\n", b"", scale, JSON_BYTES // 32)


def open_quote_of_one_line(scale: float) -> bytes:
    return filled(b'amount\n"', b"a" * 99, b"", scale, JSON_BYTES)


def distinct_cells(scale: float) -> bytes:
    """As many cells as there may be, each another one, of no kind that the columns have."""
    rows = max(1, int(JSON_VALUES / 4 * scale) - 2)
    lines = [b"x%d,y%d,z%d,w%d" % (i, i, i, i) for i in range(min(rows, 65_536))]
    return b"\n".join([",".join(NAMES).encode(), *lines])


def distinct_keys(scale: float) -> bytes:
    """64,000 rows by name, each of other names."""
    rows = [{f"k{i}": 1} for i in range(max(1, int(64_000 * scale)))]
    return json.dumps({"model": "typed", "rows": rows}).encode()


def _mixed_rows(scale: float) -> Iterator[dict[str, Any]]:
    values = (1, "1", None, True, 1.5, "x", "2024-02-29", 10**30, "1e999")
    for i in range(max(1, int(16_000 * scale))):
        yield {name: values[(i + j) % len(values)] for j, name in enumerate(NAMES)}


def mixed_types(scale: float) -> bytes:
    """Rows whose values are of another type in each row."""
    return json.dumps({"model": "typed", "rows": list(_mixed_rows(scale))}).encode()


def distinct_values(scale: float) -> bytes:
    """As many columns and rows as JSON may have values, each another text."""
    rows = max(1, int(65_000 * scale))
    columns = {name: [f"{name}{i}" for i in range(rows)] for name in NAMES}
    return json.dumps({"model": "typed", "columns": columns}).encode()


def wide_rows(scale: float) -> bytes:
    """A row of 60,000 names."""
    row = {f"k{i}": i for i in range(max(1, int(60_000 * scale)))}
    return json.dumps({"model": "typed", "rows": [row]}).encode()


for name, line, guards, kind, *make in (
    (
        "parquet-equal-values",
        "vii",
        "millions of equal values, and rows that share a text, are refused unread",
        PARQUET_TYPE,
        equal_values,
        equal_texts,
        long_prefixes,
        nothing,
    ),
    (
        "parquet-footers",
        "vii",
        "many row groups, columns, fields and pages are counted before they are read",
        PARQUET_TYPE,
        row_groups,
        parquet_columns,
        deep_columns,
        huge_footer,
        many_fields,
        empty_pages,
    ),
    (
        "parquet-of-limit",
        "vii",
        "files of the most rows of one request",
        PARQUET_TYPE,
        parquet_of_limit,
    ),
    (
        "csv-lines",
        "vii",
        "a line of 60 MB, a million columns, and quotes that are never closed",
        CSV_TYPE,
        one_line,
        csv_columns,
        header_of_limit,
        open_quote,
        open_quote_of_one_line,
    ),
    (
        "csv-of-limit",
        "vii",
        "as many bytes and cells as CSV may have, without pause",
        CSV_TYPE,
        csv_of(b"1,0.1,DE,2024-02-29\n"),
        csv_of(b"\n"),
        csv_of(b",,,\n"),
        csv_of(b'"a""b","\n",x,y\n'),
        csv_of(b" " * 20_000 + b",0.1,DE,2024-02-29\n"),
        distinct_cells,
        only(b"\n"),
        only(b"#\n"),
        only(b"\r"),
    ),
    (
        "json-rows-by-name",
        "vii",
        "rows of other names each, of mixed types, and of as many texts as there may be",
        "application/json",
        distinct_keys,
        mixed_types,
        distinct_values,
        wide_rows,
    ),
):
    body_attacker(
        name,
        line,
        guards,
        *make,
        path="/log_prob" if kind == "application/json" else "/log_prob?model=typed",
        kind=kind,
        expected=ANSWERED,
    )
