"""Every codec, and which of them reads the body of a request."""

from collections.abc import Mapping

from service.codecs.arrow import ArrowCodec
from service.codecs.base import Codec
from service.codecs.csv import CsvCodec
from service.codecs.fields import ArrayRequest, PendingRequest, R, target, with_query
from service.codecs.json import JsonCodec
from service.codecs.npy import NpyCodec
from service.codecs.parquet import ParquetCodec
from service.codecs.wav import WavCodec
from service.errors import UnsupportedMediaTypeError
from service.inflight import Reading

JSON = JsonCodec()

CODECS: tuple[Codec, ...] = (
    JSON,
    NpyCodec(),
    ArrowCodec(),
    WavCodec(),
    CsvCodec(),
    ParquetCodec(),
)
"""Every codec; where a caller is content with several, the first of them answers."""

_READERS = {content_type: codec for codec in CODECS for content_type in codec.body_types}


def body_codec(content_type: str) -> Codec | None:
    """The codec that reads a body of this `Content-Type`; None where none does."""
    return _READERS.get(content_type) or _READERS.get(_bare(content_type))


def _bare(content_type: str) -> str:
    """A content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def parse_request(
    schema: type[R], content_type: str, body: bytes, query: Mapping[str, str], reading: Reading
) -> R | PendingRequest:
    """A request from its body and its query string; where there is no body, from that alone.

    Args:
        schema: of the request.
        content_type: of the body.
        body: decompressed.
        query: the query string.
        reading: limits of the body.

    Raises:
        MalformedBodyError: a body that is not of its type.
        TooLargeError, MemoryFullError: more than the limits allow.
        TakesLongError: on the event loop, a body that is to be parsed in a thread.
        UnsupportedMediaTypeError: a type that is not read.
        InvalidInputError: values that make no sense.
    """
    if not body:
        if reading.has_tables:
            return ArrayRequest(schema, None, query, *target(query))
        return with_query(schema, {}, query)
    codec = body_codec(content_type)
    if codec is None:
        expected = ", ".join(codec.media_type for codec in CODECS if codec.body_types)
        raise UnsupportedMediaTypeError(
            f"expected one of {expected}, got {_bare(content_type):.80}"
        )
    return codec.parse(schema, body, query, reading)
