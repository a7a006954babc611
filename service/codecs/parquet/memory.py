"""What a Parquet file comes to in memory, read off its footer and the headers of its pages.

A column of one value a billion times is a few bytes of the file; what the footer says of sizes is
compared with what the pages say, which is what is taken when they are decoded.
"""

from dataclasses import dataclass

from service.codecs.parquet.footer import BYTES, FIXED, Chunk, Footer, ParquetColumn, read_footer
from service.codecs.parquet.thrift import ThriftReader
from service.errors import MalformedBodyError, TooLargeError, cut
from service.inflight import Reading

NO_FILE = "the body is not a Parquet file of a table"

# Of what pyarrow holds for a byte of the footer, and for a column of a row group.
BYTES_PER_FOOTER_BYTE = 64
BYTES_PER_CHUNK = 2000
# Of a value: as pyarrow and numpy have it, in a row, and whether it is missing.
BYTES_PER_VALUE = 32
# Of a text: an object of Python's, and its entry of a dictionary; of a byte of it, its copies.
BYTES_PER_TEXT = 100
COPIES_OF_TEXT = 5

DATA, INDEX, DICTIONARY, DATA_V2 = range(4)
HEADERS = {DATA: 5, DICTIONARY: 7, DATA_V2: 8}
"""The field of a page's header that says more, by the kind of page."""
ENCODING_FIELDS = {DATA: 2, DICTIONARY: 2, DATA_V2: 4}

PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY, BYTE_STREAM_SPLIT = 0, 2, 3, 8, 9
OF_DICTIONARY = (PLAIN_DICTIONARY, RLE_DICTIONARY)
# Not those of differences: in DELTA_BYTE_ARRAY a few bytes stand for a long text of each row, and
# in the others for room that is made before anything is read.
ENCODINGS = (PLAIN, *OF_DICTIONARY, RLE, BYTE_STREAM_SPLIT)
# The least bytes of a text or number of a dictionary, which are more where they are fixed.
LEAST_ENTRY_BYTES = 4


@dataclass
class FileSize:
    """What a file comes to.

    Args:
        footer: of it.
        rows: of it.
        page_bytes: of all pages, decompressed.
        text_bytes: of pages of texts among them.
        texts: how many texts pages hold, each as often as it stands there.
    """

    footer: Footer
    rows: int = 0
    page_bytes: int = 0
    text_bytes: int = 0
    texts: int = 0

    @property
    def columns(self) -> list[ParquetColumn]:
        """Of the file."""
        return self.footer.columns

    @property
    def converted_bytes(self) -> int:
        """Bytes that it takes to read it and make arrays of it, beside the body."""
        columns = len(self.columns)
        taken = BYTES_PER_FOOTER_BYTE * self.footer.bytes
        taken += BYTES_PER_CHUNK * columns * len(self.footer.groups)
        taken += BYTES_PER_VALUE * columns * self.rows + self.page_bytes
        return taken + COPIES_OF_TEXT * self.text_bytes + BYTES_PER_TEXT * self.texts


def measure_file(body: bytes, reading: Reading, max_rows: int) -> FileSize:
    """What a file comes to.

    Args:
        body: all of it.
        reading: limits.
        max_rows: most rows.

    Raises:
        MalformedBodyError: it is no file of a table, or a column holds something else than single
            numbers, texts and times.
        TooLargeError: more rows, texts, bytes, columns, row groups or pages than the limits allow.
    """
    try:
        return _measured(body, reading, max_rows)
    except (IndexError, ValueError) as error:
        raise MalformedBodyError(f"{NO_FILE}: {cut(str(error))}") from None


def _measured(body: bytes, reading: Reading, max_rows: int) -> FileSize:
    footer = read_footer(body)
    if footer.rows > max_rows:
        raise TooLargeError(f"a table may have {max_rows} rows, this one has {footer.rows}")
    size = FileSize(footer, footer.rows)
    reader = ThriftReader(body, steps=footer.steps)
    for group in footer.groups:
        for column, chunk in zip(footer.columns, group.chunks, strict=True):
            _count_pages(reader, column, chunk, size, reading)
    return size


def _count_pages(
    reader: ThriftReader, column: ParquetColumn, chunk: Chunk, size: FileSize, reading: Reading
) -> None:
    """Count the pages of a column of a row group, as pyarrow goes through them."""
    if chunk.values == 0:
        return
    start = chunk.first
    if 0 < chunk.dictionary < start:
        start = chunk.dictionary
    end = start + chunk.size
    if not 0 < start <= end <= size.footer.place:
        raise ValueError("a column outside of the file")
    values, reader.place = 0, start
    while values < chunk.values:
        if reader.place >= end:
            raise ValueError("a column of fewer values than it says")
        values += _count_page(reader, end, column, size)
        _check(size, reading)
    if values > chunk.values:
        raise ValueError("a column of more values than it says")


def _count_page(reader: ThriftReader, end: int, column: ParquetColumn, size: FileSize) -> int:
    """Count a page; how many values of rows it has."""
    kind, whole, compressed, values, encoding = _header(reader)
    if whole < 0 or compressed < 0 or values < 0:
        raise ValueError("a page of less than nothing")
    reader.place += compressed
    if reader.place > end:
        raise ValueError("a page that is longer than its column")
    size.page_bytes += whole
    if kind not in HEADERS:
        return 0
    if encoding not in ENCODINGS:
        name = cut(column.name[:40].decode(errors="replace"))
        raise MalformedBodyError(
            f"column {name!r} is encoded as Parquet's encoding {encoding}, which is not read: "
            "write it plain or with a dictionary"
        )
    # pyarrow makes room for so many before it reads them
    entry_bytes = column.width if column.kind == FIXED else LEAST_ENTRY_BYTES
    if kind == DICTIONARY and values * entry_bytes > whole:
        raise ValueError("a dictionary of more values than it has room for")
    if column.kind == BYTES:
        size.text_bytes += whole
        size.texts += 0 if encoding in OF_DICTIONARY and kind != DICTIONARY else values
    return 0 if kind == DICTIONARY else values


def _header(reader: ThriftReader) -> tuple[int, int, int, int, int]:
    """A page's kind, its bytes decompressed and as they are, its values, and their encoding."""
    kind = whole = compressed = -1
    counts: dict[int, tuple[int, int]] = {}
    for field, of_kind in reader.fields():
        if field == 1:
            kind = reader.whole(of_kind)
        elif field == 2:
            whole = reader.whole(of_kind)
        elif field == 3:
            compressed = reader.whole(of_kind)
        elif field in HEADERS.values():
            counts[field] = _details(reader, of_kind, 4 if field == HEADERS[DATA_V2] else 2)
        else:
            reader.skip(of_kind)
    if kind not in HEADERS:
        return kind, whole, compressed, 0, PLAIN
    values, encoding = counts.get(HEADERS[kind], (-1, -1))
    return kind, whole, compressed, values, encoding


def _details(reader: ThriftReader, kind: int, encoding_field: int) -> tuple[int, int]:
    values = encoding = -1
    for field, of_kind in reader.struct(kind):
        if field == 1:
            values = reader.whole(of_kind)
        elif field == encoding_field:
            encoding = reader.whole(of_kind)
        else:
            reader.skip(of_kind)
    return values, encoding


def _check(size: FileSize, reading: Reading) -> None:
    limits = reading.limits
    if size.page_bytes > limits.body_bytes:
        raise TooLargeError(
            f"a table may have {limits.body_bytes} bytes, decompressed; this one has "
            f"{size.page_bytes} or more"
        )
    if size.texts > limits.json_values:
        raise TooLargeError(
            f"a request may have {limits.json_values} texts, this one has {size.texts} or more"
        )
