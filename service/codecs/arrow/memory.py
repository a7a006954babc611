"""What an Arrow stream comes to in memory, read off its metadata before pyarrow sees any of it.

Few bytes may stand for many: compressed buffers, dictionaries, and buffers, tables and strings that
many others point at. Each message of a stream says in its metadata which rows and buffers it has,
so that all of it is counted, and refused, before anything is decompressed or converted.
"""

import struct

from service.codecs.arrow.flatbuffer import I64, U32, FlatTable
from service.codecs.arrow.messages import (
    SCHEMA,
    BatchMessage,
    DictionaryKey,
    batch_message,
    described,
)
from service.codecs.arrow.schema import (
    NO_TABLE,
    QUICK_SCHEMA_BYTES,
    NameCount,
    SchemaSize,
    measure_schema,
)
from service.errors import MalformedBodyError, TooLargeError, cut
from service.inflight import Reading

# Batches have thousands of rows each; pyarrow takes microseconds for each of them, and for each
# column of each.
MAX_MESSAGES = 4096
MAX_CHUNKS = 2**17
MAX_METADATA_BYTES = 2**20

# More are not counted on the event loop: each takes 10 µs.
QUICK_MESSAGES = 64

# Of what pyarrow holds for a column of a batch, Python for a text, and both for an index of a
# dictionary and what it stands for.
BYTES_PER_CHUNK = 500
BYTES_PER_TEXT = 80
BYTES_PER_LOOKUP = 32
# Of a time, a truth value, a decimal or nothing, beside its own, as a value of a typed column.
BYTES_PER_TYPED = 32

CONTINUATION = 0xFFFFFFFF
BUFFER_LENGTH_BYTES = 8
NOT_COMPRESSED = -1


class StreamSize:
    """What a stream comes to.

    Args:
        schema: of its rows.
    """

    def __init__(self, schema: SchemaSize) -> None:
        self.schema = schema
        self.batches = 0
        self.rows = 0
        self.chunks = 0
        self.dictionary_values = 0
        self.buffer_bytes = 0
        self.is_compressed = False

    @property
    def texts(self) -> int:
        """Texts that are made objects of."""
        return self.dictionary_values + self.rows * self.schema.texts

    @property
    def converted_bytes(self) -> int:
        """Bytes that it takes to read it and make arrays of it, beside the body."""
        schema = self.schema
        values = self.rows * schema.values
        taken = self.buffer_bytes if self.is_compressed else 0
        if self.batches > 1:  # they are put together
            taken += self.rows * schema.bytes
        if schema.columns > 1:  # side by side, all as wide as the widest
            taken += values * schema.widest
        if schema.widest != 4:
            taken += 4 * values
        # each is seen to be finite
        taken += values + BYTES_PER_CHUNK * self.chunks
        taken += BYTES_PER_LOOKUP * self.rows * schema.lookups
        taken += BYTES_PER_TYPED * self.rows * schema.typed
        texts = self.texts
        return taken + (BYTES_PER_TEXT * texts + 4 * self.buffer_bytes if texts else 0)


def measure_stream(body: bytes, reading: Reading, max_rows: int) -> StreamSize:
    """What a stream comes to.

    Args:
        body: all of it.
        reading: limits.
        max_rows: most rows.

    Raises:
        MalformedBodyError: it is no stream of a table, or a column is of neither numbers nor texts
            nor lists of one length of them.
        TooLargeError: more rows, texts, bytes, columns or batches than the limits allow.
        TakesLongError: on the event loop, a body that is compressed, or of many columns or batches.
    """
    try:
        return _Meter(body, reading, max_rows).read()
    except (struct.error, ValueError, IndexError) as error:
        raise MalformedBodyError(f"{NO_TABLE}: {cut(str(error))}") from None


class _Meter:
    """Counts what the messages of a stream come to."""

    size: StreamSize

    def __init__(self, body: bytes, reading: Reading, max_rows: int) -> None:
        self._body = body
        self._reading = reading
        self._max_rows = max_rows
        self._names = NameCount()
        self._dictionaries: dict[int, int] = {}

    def read(self) -> StreamSize:
        """Count every message."""
        place = self._read_schema()
        messages = 1
        while (found := self._message(place)) is not None:
            metadata, place = found
            messages += 1
            self._reading.check_quick(messages <= QUICK_MESSAGES)
            if messages > MAX_MESSAGES:
                raise TooLargeError(f"a table may have {MAX_MESSAGES} batches, this one has more")
            message = batch_message(metadata)
            if not 0 <= message.content <= len(self._body) - place:
                raise ValueError("its end is missing")
            self._names.add(message.name_bytes)
            if message.dictionary is None:
                self._count_batch(message, place)
            else:
                self._count_dictionary(message, message.dictionary, place)
            place += message.content
        return self.size

    def _read_schema(self) -> int:
        """Read the schema, with which a stream begins; the place of what follows."""
        found = self._message(0)
        if found is None:
            raise ValueError("it is empty")
        metadata, place = found
        self._reading.check_quick(len(metadata) <= QUICK_SCHEMA_BYTES)
        message = FlatTable.root(metadata)
        kind, _, content = described(message)
        if kind != SCHEMA or not 0 <= content <= len(self._body) - place:
            raise ValueError("it does not begin with a schema")
        self._names.add_remarks(message, 4)
        self.size = StreamSize(measure_schema(metadata, self._reading.has_tables))
        return place + content

    def _message(self, place: int) -> tuple[bytes, int] | None:
        """The metadata of the message that begins there, and the place of its content."""
        body = self._body
        if place + 4 > len(body):
            return None
        (length,) = U32.unpack_from(body, place)
        place += 4
        if length == CONTINUATION:  # before Arrow 0.15 the length came first
            (length,) = U32.unpack_from(body, place)
            place += 4
        if length == 0:
            return None
        if place + length > len(body):
            raise ValueError("its end is missing")
        if length > MAX_METADATA_BYTES:
            raise TooLargeError(
                f"a message of a table may have {MAX_METADATA_BYTES} bytes of metadata, this one "
                f"has {length}"
            )
        return body[place : place + length], place + length

    def _count_batch(self, message: BatchMessage, place: int) -> None:
        size = self.size
        size.batches += 1
        size.rows += message.rows
        if size.rows > self._max_rows:
            raise TooLargeError(f"a table may have {self._max_rows} rows, this one has more")
        self._check_texts()
        self._count_buffers(message, place)

    def _count_dictionary(
        self, message: BatchMessage, dictionary: DictionaryKey, place: int
    ) -> None:
        size, key = self.size, dictionary.key
        size.dictionary_values += message.rows
        self._check_texts()
        before = size.buffer_bytes
        self._count_buffers(message, place)
        added = size.buffer_bytes - before
        if dictionary.is_delta:  # it is put behind what there is, which is copied for it
            size.buffer_bytes += self._dictionaries.get(key, 0)
            added += self._dictionaries.get(key, 0)
        self._dictionaries[key] = added
        self._check_bytes()

    def _count_buffers(self, message: BatchMessage, place: int) -> None:
        """Count columns and buffers of a batch."""
        size = self.size
        size.chunks += 1 + message.columns
        if size.chunks > MAX_CHUNKS:
            raise TooLargeError(
                f"a table may have {MAX_CHUNKS} columns of batches, this one has more: write "
                "larger batches"
            )
        if not message.is_compressed:
            size.buffer_bytes += message.buffer_bytes
        else:
            size.is_compressed = True
            self._reading.check_quick(False)
            buffers = message.buffers
            for start, length in zip(buffers[::2], buffers[1::2], strict=True):
                if length:
                    if not 0 <= start <= message.content - BUFFER_LENGTH_BYTES:
                        raise ValueError("a buffer outside of its message")
                    (whole,) = I64.unpack_from(self._body, place + start)
                    size.buffer_bytes += length if whole == NOT_COMPRESSED else max(whole, 0)
        self._check_bytes()

    def _check_bytes(self) -> None:
        size, limit = self.size.buffer_bytes, self._reading.limits.body_bytes
        if size > limit:
            raise TooLargeError(
                f"a table may have {limit} bytes, decompressed, each column by itself; this one "
                f"has {size} or more"
            )

    def _check_texts(self) -> None:
        texts, limit = self.size.texts, self._reading.limits.json_values
        if texts > limit:
            raise TooLargeError(f"a request may have {limit} texts, this one has {texts} or more")
