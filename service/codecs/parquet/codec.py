"""Tables as Parquet files, as bodies and answers: a column for each value of a row."""

from collections.abc import Mapping
from typing import Any

from service.bundle import AnyManifest
from service.codecs.arrow import HAS_PYARROW, NO_PYARROW, columns_of, pyarrow, schema_remarks, typed
from service.codecs.base import PARQUET_TYPE, Codec
from service.codecs.fields import R, TableRequest
from service.codecs.flat_columns import flat_columns, no_columns, reasons_as_columns
from service.codecs.parquet.footer import BYTES
from service.codecs.parquet.memory import NO_FILE, FileSize, measure_file
from service.errors import MalformedBodyError, ServiceError, cut
from service.inflight import Reading
from service.operations import Answer, FlowRequest


class ParquetCodec(Codec):
    """Parquet: rows and context as columns, the other fields in the query string."""

    media_type = PARQUET_TYPE
    body_types = (PARQUET_TYPE,)

    def refusal(
        self, schema: type[FlowRequest], manifest: AnyManifest, output: str | None
    ) -> str | None:
        """An install without pyarrow writes none, and columns of one name cannot be told apart."""
        return no_columns(schema, manifest, output, PARQUET_TYPE) if HAS_PYARROW else NO_PYARROW

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> TableRequest:
        """A request whose rows are a table, with the context beside them."""
        return TableRequest.read(schema, read_parquet, body, query, reading)

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """A file of all arrays, or of the one picked."""
        pa = pyarrow()
        import pyarrow.parquet as pq

        answer = reasons_as_columns(answer)
        columns = flat_columns(manifest, answer.arrays, output)
        arrays = {name: typed.column(pa, *each) for name, each in columns.items()}
        schema = pa.schema(
            [(name, array.type) for name, array in arrays.items()],
            metadata=schema_remarks(manifest, answer.remarks, answer.seed),
        )
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), sink)
        written: bytes = sink.getvalue().to_pybytes()
        return written


def read_parquet(body: bytes, reading: Reading, max_rows: int) -> dict[str, Any]:
    """The columns of a file by name, in their order, see `columns_of`.

    Args:
        body: all of it.
        reading: limits; what they forbid is refused, and memory charged, before it is taken.
        max_rows: most rows.

    Raises:
        MalformedBodyError: the body is no Parquet file of a table, or a column holds something
            else than single numbers, texts and times.
        TooLargeError, MemoryFullError: more than the limits allow.
        TakesLongError: on the event loop.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = pyarrow()
    reading.check_quick(False)
    size = measure_file(body, reading, max_rows)
    reading.share.charge(size.converted_bytes)
    try:
        return columns_of(_table(pa, body, size), reading)
    except ServiceError:
        raise
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"{NO_FILE}: {cut(str(error), 200)}") from None


def _table(pa: Any, body: bytes, size: FileSize) -> Any:
    """The table of a file whose size has been counted."""
    import pyarrow.parquet as pq

    texts = [column.name.decode() for column in size.columns if column.kind == BYTES]
    file = pq.ParquetFile(
        pa.BufferReader(body),
        # or a text that many rows share would be there for each of them
        read_dictionary=texts,
        # of nanoseconds 64 bits end in 2262
        coerce_int96_timestamp_unit="us",
        pre_buffer=False,
    )
    for field in file.schema_arrow:
        if field.name in texts and not _is_dictionary_of_text(pa, field.type):
            raise MalformedBodyError(f"column {cut(field.name)!r} is of {field.type}, not numbers")
    return file.read(use_threads=False)


def _is_dictionary_of_text(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type))
