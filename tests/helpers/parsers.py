"""Every parser of bytes that callers send, with small valid inputs from which fuzzers start.

A parser may refuse an input by one of its `errors`, and by nothing else. `PARSERS` has all of them
by name; a new parser is an entry here, and the tests that attack parsers take it up.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pyarrow as pa

from service.codecs import PendingRequest, choose_codec, parse_request
from service.decompression import Decompression
from service.errors import ServiceError
from service.http.asgi_route import deadline
from service.http.request_body import Headers
from service.inflight import BodyLimits, InflightBudget, Reading
from service.open_inference import protocol
from service.open_inference.admin import ModelRepository
from service.operations import FLOW_OPERATIONS, FlowRequest
from tests.helpers import table_seeds
from tests.helpers.detectors import detector_manifest
from tests.helpers.http import ARROW, NPY, to_npy
from tests.helpers.tables import CSV, JSON, PARQUET
from tests.helpers.typed import typed_manifest

LIMITS = BodyLimits(
    body_bytes=2**20, json_bytes=2**18, json_values=2**14, rows=2**14, sample_rows=2**16
)
"""Low ones, so that a fuzzer meets them."""

BUDGET = InflightBudget(2**24)
"""What the parsers may hold together."""

SCHEMAS: dict[str, type[FlowRequest]] = {o.name: o.request for o in FLOW_OPERATIONS}

ROWS = [[0.5, -0.5], [1.0, 2.0], [3.0, 1e-3]]

# As much of a manifest as the choice of a codec, and the order of a table's columns, read.
MANIFEST: Any = SimpleNamespace(
    name="moons",
    version=1,
    sound=None,
    picture=None,
    typed=None,
    column_names=["a", "b"],
    dtype="float32",
    context=None,
    event_shape=[2],
    latent_shape=[2],
    dimensions=2,
)


@dataclass(frozen=True)
class Parser:
    """One parser.

    Args:
        parse: reads an input; what it returns is of no interest.
        seeds: inputs that it accepts, short, of every form that it reads.
        errors: what it may raise.
    """

    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...] = (ServiceError,)

    def accepts(self, data: bytes) -> bool:
        """Whether it accepts an input; raises what it should not."""
        try:
            self.parse(data)
        except self.errors:
            return False
        finally:
            assert BUDGET.held == 0
        return True


def arrow_stream(
    columns: dict[str, Any],
    *,
    compression: str | None = None,
    rows_per_batch: int | None = None,
    as_file: bool = False,
) -> bytes:
    """A table as pyarrow writes it, as a stream or as a file."""
    table = pa.table(columns)
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    new = pa.ipc.new_file if as_file else pa.ipc.new_stream
    with new(file, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows_per_batch)
    return file.getvalue()


def lists(rows: Any, kind: Any = None) -> Any:
    """Rows as a column of lists of one length."""
    array = np.asarray(rows, np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel(), kind), array.shape[1])


def tensors(rows: Any) -> Any:
    """Rows as a column of Arrow's tensors."""
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.asarray(rows, np.float32))


def read_body(
    schema: type[FlowRequest], content_type: str, data: bytes, query: dict[str, str] | None = None
) -> Any:
    """A request of a body, as in a thread, within `LIMITS`."""
    with BUDGET.share() as share:
        request = parse_request(schema, content_type, data, query or {}, Reading(LIMITS, share))
        return request.resolved(MANIFEST) if isinstance(request, PendingRequest) else request


def _body(schema: type[FlowRequest], content_type: str) -> Callable[[bytes], object]:
    return lambda data: read_body(schema, content_type, data)


def _typed_body(content_type: str, endpoint: str = "log_prob") -> Callable[[bytes], object]:
    """A parser of rows of typed columns, with what the model makes of them."""
    schema = SCHEMAS[endpoint]
    manifest = detector_manifest() if endpoint == "score" else typed_manifest()

    def read(data: bytes) -> object:
        with BUDGET.share() as share:
            reading = Reading(LIMITS, share, has_tables=True)
            request = parse_request(schema, content_type, data, {}, reading)
            return request.resolved(manifest) if isinstance(request, PendingRequest) else request

    return read


def _query(data: bytes) -> object:
    query = dict(parse_qsl(data.decode("latin-1"), keep_blank_values=True))
    query.pop("output", None)
    return read_body(SCHEMAS["sample"], "", b"", query)


def _accept(data: bytes) -> object:
    return choose_codec(data.decode("latin-1"), "", SCHEMAS["log_prob"], MANIFEST, None)


def _deadline(data: bytes) -> object:
    return deadline(Headers({"headers": [(b"x-request-timeout", data)]}))


def _infer(data: bytes) -> object:
    """The first line is the header that says how much of the rest is JSON."""
    length, _, body = data.partition(b"\n")
    with BUDGET.share() as share:
        return protocol.parse(body, length.decode("latin-1"), Reading(LIMITS, share))


def _infer_raw(data: bytes) -> object:
    return protocol.parse_raw(data, [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}])


def _index(data: bytes) -> object:
    store: Any = SimpleNamespace(entries={})
    return ModelRepository(store).index(data, lambda _: True)


def _decompressed(encoding: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        with BUDGET.share() as share:
            stream = Decompression(data, encoding, LIMITS.body_bytes, share)
            stream.read()
            return stream.content()

    return read


def _json(*bodies: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(json.dumps(body).encode() for body in bodies)


def _infer_seeds() -> tuple[bytes, ...]:
    x: dict[str, Any] = {"name": "x", "shape": [3, 2], "datatype": "FP32"}
    flat = [value for row in ROWS for value in row]
    texts = b"\1\0\0\0a\2\0\0\0\xc3\xa9"
    binary = {**x, "parameters": {"binary_data_size": 24}}
    context: dict[str, Any] = {"name": "context", "shape": [2, 1], "datatype": "BYTES"}
    context |= {"parameters": {"binary_data_size": len(texts)}}
    asked = [{"name": "z", "parameters": {"binary_data": True}}, {"name": "log_prob"}]
    heads = _json({"inputs": [binary]}, {"inputs": [context, binary], "outputs": asked})
    rows = np.array(ROWS, "<f4").tobytes()
    bodies = [heads[0] + rows, heads[1] + texts + rows]
    plain = _json(
        {"inputs": [{**x, "data": flat}], "id": "7", "parameters": {"seed": 1}},
        {"inputs": [{**x, "data": ROWS, "datatype": "FP64"}]},
        {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [3]}]},
        {"inputs": [{**x, "data": ["a", "b"], "shape": [2], "datatype": "BYTES"}]},
    )
    return (
        *(b"\n" + body for body in plain),
        *(b"%d\n" % len(head) + body for head, body in zip(heads, bodies, strict=True)),
    )


def _npy_seeds() -> tuple[bytes, ...]:
    rows = np.array(ROWS)
    wide = io.BytesIO()
    np.lib.format.write_array(wide, rows, version=(2, 0))
    return (
        to_npy(rows),
        to_npy(rows.astype("<f4")),
        to_npy(rows.astype(">f8")),
        to_npy(rows.astype("<f2")),
        to_npy(np.array([[1, 2]], "<i8")),
        to_npy(np.array([[1, 2]], "u1")),
        to_npy(np.asfortranarray(rows)),
        wide.getvalue(),
    )


def _arrow_seeds() -> tuple[bytes, ...]:
    words = pa.array(["red", "blue", "red"])
    return (
        arrow_stream({"x": lists(ROWS)}),
        arrow_stream({"x": lists(ROWS)}, compression="zstd"),
        arrow_stream({"x": lists(ROWS)}, compression="lz4"),
        arrow_stream({"x": lists(ROWS)}, rows_per_batch=1),
        arrow_stream({"x": lists(ROWS)}, as_file=True, rows_per_batch=2),
        arrow_stream({"x": tensors(ROWS)}, as_file=True, compression="lz4"),
        arrow_stream({"x": tensors(ROWS)}),
        arrow_stream({"a": pa.array([1, 2, 3], pa.int16()), "b": pa.array([0.5, 1, 2])}),
        arrow_stream({"x": lists(ROWS), "context": words}),
        arrow_stream({"x": lists(ROWS), "context": words.dictionary_encode()}, rows_per_batch=2),
    )


def _gzip_seeds() -> tuple[bytes, ...]:
    return (gzip.compress(_json({"x": ROWS})[0], mtime=0), gzip.compress(b"", mtime=0))


def _deflate_seeds() -> tuple[bytes, ...]:
    return (zlib.compress(_json({"x": ROWS})[0]), zlib.compress(b""))


STACK = np.array([[0.5, -0.5], [1.0, 2.0]])

PARSERS: dict[str, Parser] = {
    "json /log_prob": Parser(
        _body(SCHEMAS["log_prob"], "application/json"),
        _json({"x": ROWS}, {"model": "a", "version": 1, "x": [[1, 2]], "dequantize": 2, "seed": 3}),
    ),
    "json /encode": Parser(
        _body(SCHEMAS["encode"], ""),
        _json({"x": ROWS, "context": [[41, "red"]]}, {"x": [[[1], [2]]], "context": ["red"]}),
    ),
    "json /sample": Parser(
        _body(SCHEMAS["sample"], "application/json"),
        _json({"n": 3, "temperature": 0.5, "truncation": 2, "quantize": True}, {"context": [1, 2]}),
    ),
    "json /interpolate": Parser(
        _body(SCHEMAS["interpolate"], "application/json"),
        _json({"start": [0, 1], "end": [1.0, 2e3], "steps": 5, "path": "geodesic"}),
    ),
    "npy /decode": Parser(_body(SCHEMAS["decode"], NPY), _npy_seeds()),
    "npy /interpolate": Parser(_body(SCHEMAS["interpolate"], NPY), (to_npy(STACK),)),
    "arrow /log_prob": Parser(_body(SCHEMAS["log_prob"], ARROW), _arrow_seeds()),
    "arrow /interpolate": Parser(
        _body(SCHEMAS["interpolate"], ARROW), (arrow_stream({"x": lists(STACK)}),)
    ),
    "arrow /sample": Parser(
        _body(SCHEMAS["sample"], ARROW), (arrow_stream({"context": pa.array(["red", "blue"])}),)
    ),
    "csv /log_prob": Parser(
        _body(SCHEMAS["log_prob"], CSV), (b"b,a\n1,2\n-.5,1e3\n", b'"a","b"\r\n"1","2"\r\n')
    ),
    "csv of typed columns": Parser(_typed_body(CSV), table_seeds.csv_seeds()),
    "parquet of typed columns": Parser(_typed_body(PARQUET), table_seeds.parquet_seeds()),
    "arrow of typed columns": Parser(_typed_body(ARROW), table_seeds.arrow_seeds()),
    "json of typed columns": Parser(_typed_body(JSON), table_seeds.json_seeds()),
    "json /score": Parser(_typed_body(JSON, "score"), table_seeds.score_seeds()),
    "csv /score": Parser(_typed_body(CSV, "score"), table_seeds.csv_seeds()),
    "query string": Parser(
        _query, (b"n=3&seed=1&model=moons", b"context=41,%22a,%20b%22&temperature=0.5", b"")
    ),
    "Accept": Parser(_accept, (b"", b"application/json", b"audio/wav;q=0.5, */*;q=0.1")),
    "X-Request-Timeout": Parser(_deadline, (b"", b"0.5", b"30")),
    "v2 infer": Parser(_infer, _infer_seeds()),
    "v2 raw": Parser(_infer_raw, (np.array(ROWS, "<f4").tobytes(),)),
    "v2 repository": Parser(_index, (b"", *_json({"ready": True}))),
    "gzip": Parser(_decompressed("gzip"), _gzip_seeds()),
    "deflate": Parser(_decompressed("deflate"), _deflate_seeds()),
}
"""Every parser, by what callers send to it."""
