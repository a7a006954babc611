"""Reading Arrow streams: columns as arrays, in memory that has been counted before."""

from importlib.util import find_spec
from types import ModuleType
from typing import Any

from service.codecs.arrow.columns import columns_of
from service.codecs.arrow.memory import measure_stream
from service.codecs.arrow.schema import NO_TABLE
from service.errors import MalformedBodyError, ServiceError, UnsupportedMediaTypeError, cut
from service.inflight import Reading, TakesLongError

HAS_PYARROW = find_spec("pyarrow") is not None
NO_PYARROW = "this install knows no Arrow: pip install 'bijecta[arrow]'"

# A table of so few bytes is read on the event loop, and not worth charging.
QUICK_BYTES = 2**17

QUICK_TEXTS = 512

# What Arrow's file format begins with, which Feather is too.
FILE_MAGIC = b"ARROW1\0\0"


def pyarrow() -> ModuleType:
    """The library, which is large and loaded with the first table.

    Raises:
        UnsupportedMediaTypeError: it is not installed.
    """
    if not HAS_PYARROW:
        raise UnsupportedMediaTypeError(NO_PYARROW)
    import pyarrow

    module: ModuleType = pyarrow
    return module


def read_table(body: bytes, reading: Reading, max_rows: int) -> dict[str, Any]:
    """The columns of a stream or file by name, in their order, see `columns_of`.

    Args:
        body: all of it.
        reading: limits; what they forbid is refused, and memory charged, before it is taken.
        max_rows: most rows.

    Raises:
        MalformedBodyError: the body is not a stream of a table, or a column is neither numbers
            nor text nor lists of one length of them (where there are models of typed columns,
            columns of times, truth values and decimals are read too).
        TooLargeError, MemoryFullError: more than the limits allow.
        TakesLongError: on the event loop, a table that is to be read in a thread.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = pyarrow()
    if body.startswith(FILE_MAGIC):
        # a file is a stream, with marks before and behind
        if len(body) > QUICK_BYTES:
            reading.share.charge(len(body))
        body = body[len(FILE_MAGIC) :]
    size = measure_stream(body, reading, max_rows)
    converted = size.converted_bytes
    if converted > QUICK_BYTES:
        reading.check_quick(False)
        reading.share.charge(converted)
    reading.check_quick(size.texts <= QUICK_TEXTS)
    try:
        with pa.ipc.open_stream(body) as stream:
            table = stream.read_all()
        return columns_of(table, reading)
    except (ServiceError, TakesLongError):
        raise
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"{NO_TABLE}: {cut(str(error), 200)}") from None
