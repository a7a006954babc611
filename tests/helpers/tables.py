"""Bodies of tables in every format that holds columns by name, and answers read back."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from tests.helpers.http import ARROW

PARQUET, CSV, JSON = "application/vnd.apache.parquet", "text/csv", "application/json"

Table = Mapping[str, Any]
"""Columns by name: lists, or arrays of numpy or pyarrow."""


def csv_body(table: Table) -> bytes:
    """Columns as CSV, None as an empty cell."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return file.getvalue().encode()


def arrow_body(table: Table) -> bytes:
    """Columns as an Arrow stream."""
    content = pa.table(dict(table))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def parquet_body(table: Table, **options: Any) -> bytes:
    """Columns as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(pa.table(dict(table)), file, **options)
    return file.getvalue()


WRITERS: dict[str, Callable[[Table], bytes]] = {
    CSV: csv_body,
    ARROW: arrow_body,
    PARQUET: parquet_body,
}
"""Of a body, by its type."""

FORMATS = (JSON, *WRITERS)


def ask_table(
    client: httpx.Client,
    endpoint: str,
    table: Table,
    kind: str,
    model: str = "typed",
    accept: str = JSON,
    **query: Any,
) -> httpx.Response:
    """The answer to columns by name in a format."""
    headers = {"content-type": kind, "accept": accept}
    if kind == JSON:
        content = {"model": model, "columns": {k: list(v) for k, v in table.items()}, **query}
        return client.post(endpoint, content=json.dumps(content), headers=headers)
    query["model"] = model
    return client.post(endpoint, params=query, content=WRITERS[kind](table), headers=headers)


def read_answer(answer: httpx.Response) -> dict[str, list[Any]]:
    """The columns of an answer by name; of CSV as text."""
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    columns: dict[str, list[Any]]
    if kind == CSV:
        names, *rows = csv.reader(io.StringIO(answer.text))
        return {name: [row[i] for row in rows] for i, name in enumerate(names)}
    if kind == PARQUET:
        columns = pq.read_table(io.BytesIO(answer.content)).to_pydict()
        return columns
    columns = pa.ipc.open_stream(answer.content).read_all().to_pydict()
    return columns
