"""Small tables in every format, from which fuzzers start: two rows of `tests.helpers.typed`."""

import datetime
import json
from typing import Any

import pyarrow as pa

from tests.helpers.tables import Table, arrow_body, csv_body, parquet_body
from tests.helpers.typed import TABLE

DAYS = pa.array([datetime.date(2024, 2, 29)] * 2)
TYPED: tuple[Table, ...] = (
    TABLE,
    {**TABLE, "seen": DAYS, "country": pa.array(["FR", None]).dictionary_encode()},
    {**TABLE, "seen": DAYS.cast(pa.timestamp("us", "UTC")), "id": pa.array([True, False])},
    {**TABLE, "count": pa.array(["0.3", "0.1"]).cast(pa.decimal128(5, 1)), "country": pa.nulls(2)},
)


def csv_seeds() -> tuple[bytes, ...]:
    """As programs write it: with quotes, gaps, a mark at its beginning, and line ends of all kinds.

    The rows are of typed columns.
    """
    plain = csv_body(TABLE)
    return (
        plain,
        b"\xef\xbb\xbf" + plain.replace(b"\r\n", b"\n").replace(b"FR", b'"F""R, or\nDE"'),
        b"seen,country,count,amount,id\r2024-02-29T00:00:00Z,NA,.3,1e-1,7\r\r",
        b"amount,count,country,seen\n",
    )


def arrow_seeds() -> tuple[bytes, ...]:
    """Columns of the types that only models of typed columns take."""
    return tuple(map(arrow_body, TYPED))


def parquet_seeds() -> tuple[bytes, ...]:
    """Files of every kind of page and encoding that is read."""
    options: tuple[dict[str, Any], ...] = (
        {"compression": "none", "store_schema": False},
        {"compression": "zstd"},
        {"compression": "gzip", "data_page_version": "2.0", "store_schema": False},
        {"row_group_size": 1, "write_page_index": True, "store_schema": False},
        {"use_dictionary": False, "column_encoding": {"amount": "BYTE_STREAM_SPLIT"}},
    )
    files = [parquet_body(TABLE, **each) for each in options]
    return (*files, *(parquet_body(table, store_schema=False) for table in TYPED[1:]))


def json_seeds() -> tuple[bytes, ...]:
    """Rows and columns by name."""
    rows = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
    bodies = ({"rows": rows}, {"columns": TABLE}, {"rows": [{**rows[0], "amount": "0.1"}]})
    return tuple(json.dumps(body).encode() for body in bodies)


def score_seeds() -> tuple[bytes, ...]:
    """Questions to a detector, with rows in every form."""
    rows = [[0.1, 0.3, 1, 1709164800.0], [0.5, 0, None, 1709164800.0]]
    bodies = (
        {"x": rows, "alpha": 0.1, "seed": 7, "reasons": 2, "partial": True},
        {"x": rows[:1], "fdr": 0.05, "model": "detector", "version": 1},
    )
    return (*(json.dumps(body).encode() for body in bodies), *json_seeds())
