"""The messages of an Arrow stream behind its schema, read off their metadata."""

from functools import lru_cache
from typing import NamedTuple

from service.codecs.arrow.flatbuffer import I64, U8, FlatTable
from service.codecs.arrow.schema import NameCount

SCHEMA, DICTIONARY_BATCH, RECORD_BATCH = 1, 2, 3

# Before Arrow 1.0 compression was said in a remark.
FORMER_COMPRESSION = b"experimental_compression"

# Callers send batches of the same few sizes again and again, whose metadata is the same then; of a
# table of many columns it is long, and not worth its room in the cache.
CACHED_MESSAGES = 256
CACHED_BYTES = 1024


class DictionaryKey(NamedTuple):
    """Which dictionary a batch is of, and whether it is put behind what there is of it."""

    key: int
    is_delta: bool


class BatchMessage(NamedTuple):
    """What the metadata of a batch says.

    Args:
        dictionary: of whose values it is; None of rows.
        content: how many bytes follow the metadata.
        rows: of it, or values of a dictionary.
        columns: lists and their values apart.
        is_compressed: whether its buffers are.
        buffers: place and length of each, in turn.
        buffer_bytes: of all buffers, as they come.
        name_bytes: of its remarks.
    """

    dictionary: DictionaryKey | None
    content: int
    rows: int
    columns: int
    is_compressed: bool
    buffers: tuple[int, ...]
    buffer_bytes: int
    name_bytes: int


def batch_message(metadata: bytes) -> BatchMessage:
    """A batch of rows or of a dictionary.

    Args:
        metadata: of its message.

    Raises:
        struct.error, ValueError: it is none.
        TooLargeError: longer remarks than any table has.
    """
    read = _read if len(metadata) <= CACHED_BYTES else _read.__wrapped__
    return read(metadata)


@lru_cache(CACHED_MESSAGES)
def _read(metadata: bytes) -> BatchMessage:
    message = FlatTable.root(metadata)
    kind, header, content = described(message)
    names = NameCount()
    names.add_remarks(message, 4)
    if FORMER_COMPRESSION in metadata:
        raise ValueError("its compression is that of Arrow before 1.0")
    dictionary, batch = None, header
    if kind == DICTIONARY_BATCH:
        dictionary = DictionaryKey(header.number(0, I64), header.number(2, U8) != 0)
        inner = header.table(1)
        if inner is None:
            raise ValueError("a dictionary of nothing")
        batch = inner
    elif kind != RECORD_BATCH:
        raise ValueError("it holds more than a schema and batches")
    rows, buffers = batch.number(0, I64), batch.numbers(2, 2)
    if rows < 0:
        raise ValueError("a batch of less than no rows")
    if min(buffers, default=0) < 0:
        raise ValueError("a buffer of less than nothing")
    return BatchMessage(
        dictionary,
        content,
        rows,
        columns=batch.vector(1)[1],
        is_compressed=batch.table(3) is not None,
        buffers=buffers,
        buffer_bytes=sum(buffers[1::2]),
        name_bytes=names.bytes,
    )


def described(message: FlatTable) -> tuple[int, FlatTable, int]:
    """What kind of message it is, its header, and how many bytes follow its metadata."""
    header = message.table(2)
    if header is None:
        raise ValueError("a message of nothing")
    return message.number(1, U8), header, message.number(3, I64)
