"""Every codec, and which of them reads the body of a request."""

from collections.abc import Mapping

from service.codecs.arrow import ArrowCodec
from service.codecs.base import (
    ARROW_FILE_TYPE,
    ARROW_TYPE,
    CSV_TYPE,
    FORM_TYPE,
    JSON_TYPE,
    NPY_TYPE,
    PARQUET_TYPE,
    Codec,
)
from service.codecs.csv import CsvCodec
from service.codecs.fields import ArrayRequest, PendingRequest, R, target, with_query
from service.codecs.json import JsonCodec
from service.codecs.npy import NpyCodec
from service.codecs.parquet import ParquetCodec
from service.codecs.png import PngCodec
from service.codecs.wav import WavCodec
from service.errors import MalformedBodyError, UnsupportedMediaTypeError
from service.inflight import Reading

JSON = JsonCodec()

CODECS: tuple[Codec, ...] = (
    JSON,
    NpyCodec(),
    ArrowCodec(),
    WavCodec(),
    CsvCodec(),
    PngCodec(),
    ParquetCodec(),
)
"""Every codec; where a caller is content with several, the first of them answers."""

BODY_TYPES = ", ".join(codec.media_type for codec in CODECS if codec.body_types)
"""The media types of bodies that are read, for people."""

# A body is read as JSON where its type is not said; curl says the second unless told otherwise.
UNSAID = ("", FORM_TYPE)

# How bodies of other types than JSON and CSV begin: what they are, and the header that says so.
MAGIC_BYTES = {
    b"\x93NUMPY": ("an npy file", f"Content-Type: {NPY_TYPE}"),
    b"PAR1": ("a Parquet file", f"Content-Type: {PARQUET_TYPE}"),
    b"ARROW1": ("an Arrow file", f"Content-Type: {ARROW_FILE_TYPE}"),
    b"\xff\xff\xff\xff": ("an Arrow stream", f"Content-Type: {ARROW_TYPE}"),
    b"\x1f\x8b": ("compressed by gzip", "Content-Encoding: gzip"),
    b"PK\x03\x04": ("a ZIP archive, such as a workbook", ""),
}

# Of a body, so many are looked at.
FIRST_BYTES = 4096

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
        bare = _bare(content_type)
        is_form = bare.startswith("multipart/")
        form = "; send the file by itself, as curl --data-binary @FILE does" * is_form
        raise UnsupportedMediaTypeError(
            f"expected one of {BODY_TYPES}, got {bare:.80}{form or _seems(body)}"
        )
    try:
        return codec.parse(schema, body, query, reading)
    except MalformedBodyError as error:
        bare = _bare(content_type)
        said = _seems(body, JSON_TYPE if bare in UNSAID else bare)
        if bare in UNSAID:
            came = f"its Content-Type is {bare}" if bare else "it has no Content-Type"
            said = f"; {came}, which is read as JSON; {BODY_TYPES} are read{said}"
        raise MalformedBodyError(f"{error.detail}{said}", **error.extra) from None


def _seems(body: bytes, content_type: str = "") -> str:
    """What a body seems to be and how to say so, for people; empty where that is what it says."""
    seems = next((each for each in MAGIC_BYTES if body.startswith(each)), None)
    if seems is not None:
        named, header = MAGIC_BYTES[seems]
    else:
        begins = body[:FIRST_BYTES].lstrip()
        line = begins.partition(b"\n")[0]
        if begins.startswith((b"{", b"[")):
            named, header = "JSON", f"Content-Type: {JSON_TYPE}"
        elif b"," in line and not any(byte < 32 and byte != 13 for byte in line):
            named, header = "CSV", f"Content-Type: {CSV_TYPE}"
        else:
            return ""
    if content_type and header.endswith(f" {content_type}"):
        return ""
    how = f": say so with {header}" if header else ", which is not read"
    return f"; it seems to be {named}{how}"
