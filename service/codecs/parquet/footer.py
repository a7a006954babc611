"""The footer of a Parquet file: its columns, its row groups, and where their pages are."""

from dataclasses import dataclass

from service.codecs.flat_columns import MAX_COLUMNS
from service.codecs.parquet.thrift import I64, ThriftReader
from service.errors import MalformedBodyError, TooLargeError, cut

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
# Magic before and behind, and the length of the footer.
LEAST_BYTES = 12
MAX_FOOTER_BYTES = 2**20

# Columns of row groups: pyarrow takes tens of microseconds for each.
MAX_CHUNKS = 2**14

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTES, FIXED = range(8)
TYPES = ("bool", "int32", "int64", "int96", "float", "double", "binary", "fixed-size-binary")
# Of numbers of 16 bits, and of decimals.
MAX_FIXED_BYTES = 16
REPEATED = 2
TEXT, TEXT_BEFORE = 1, 0
"""Of a `logicalType`, and of a `converted_type`."""


@dataclass
class ParquetColumn:
    """A column of a file.

    Args:
        name: of it.
        kind: its physical type.
        width: of a value of fixed size.
        repetition: whether it may have nulls, or several values a row.
        children: columns in it.
        is_text: whether bytes are text.
    """

    name: bytes = b""
    kind: int = -1
    width: int = 0
    repetition: int = 0
    children: int = 0
    is_text: bool = False


@dataclass
class Chunk:
    """A column of a row group.

    Args:
        kind: its physical type.
        values: of it.
        first, dictionary: where its pages begin.
        size: bytes of them.
        is_elsewhere: whether it says that it is in another file, or encrypted.
    """

    kind: int = -1
    values: int = -1
    first: int = 0
    dictionary: int = 0
    size: int = -1
    is_elsewhere: bool = False


@dataclass
class RowGroup:
    """Some rows.

    Args:
        chunks: its columns.
        rows: how many.
    """

    chunks: list[Chunk]
    rows: int = -1


@dataclass
class Footer:
    """What a footer says.

    Args:
        columns: of the file.
        groups: of its rows.
        rows: of all of them.
        bytes: of the footer.
        place: where it begins, behind all pages.
        steps: how many fields it has.
    """

    columns: list[ParquetColumn]
    groups: list[RowGroup]
    rows: int
    bytes: int
    place: int
    steps: int


def read_footer(body: bytes) -> Footer:
    """The footer of a file.

    Raises:
        MalformedBodyError: a column holds something else than single numbers, texts and times.
        TooLargeError: it is longer, or has more columns and row groups, than any table of rows.
        IndexError, ValueError: it is none.
    """
    if body[-4:] == ENCRYPTED:
        raise ValueError("it is encrypted")
    if len(body) < LEAST_BYTES or body[:4] != MAGIC or body[-4:] != MAGIC:
        raise ValueError("it does not begin and end as one")
    length = int.from_bytes(body[-8:-4], "little")
    if length > len(body) - LEAST_BYTES:
        raise ValueError("its footer is longer than all of it")
    if length > MAX_FOOTER_BYTES:
        raise TooLargeError(
            f"the footer of a Parquet file may have {MAX_FOOTER_BYTES} bytes, this one has {length}"
        )
    place = len(body) - 8 - length
    reader = ThriftReader(body[place : place + length])
    columns, groups, rows = list[ParquetColumn](), list[RowGroup](), -1
    for field, kind in reader.fields():
        if field == 2:
            columns = _columns(reader, kind)
        elif field == 3:
            rows = reader.whole(kind, I64)
        elif field == 4:
            groups = _groups(reader, kind)
        elif field == 8:
            raise ValueError("it is encrypted")
        else:
            reader.skip(kind)
    footer = Footer(_leaves(columns), groups, rows, length, place, reader.steps)
    _check(footer)
    return footer


def _check(footer: Footer) -> None:
    """See that the parts agree with each other."""
    if sum(group.rows for group in footer.groups) != footer.rows:
        raise ValueError("its row groups have other rows than all of it")
    for group in footer.groups:
        if group.rows < 0 or len(group.chunks) != len(footer.columns):
            raise ValueError("a row group without rows, or of other columns")
        for column, chunk in zip(footer.columns, group.chunks, strict=True):
            if chunk.is_elsewhere or chunk.kind != column.kind or chunk.values != group.rows:
                raise ValueError("a row group whose columns are not those of the file")


def _columns(reader: ThriftReader, kind: int) -> list[ParquetColumn]:
    columns = []
    for _ in reader.structs(kind):
        column = ParquetColumn()
        for field, of_kind in reader.fields():
            if field == 1:
                column.kind = reader.whole(of_kind)
            elif field == 2:
                column.width = reader.whole(of_kind)
            elif field == 3:
                column.repetition = reader.whole(of_kind)
            elif field == 4:
                column.name = reader.binary(of_kind)
            elif field == 5:
                column.children = reader.whole(of_kind)
            elif field == 6:
                column.is_text |= reader.whole(of_kind) == TEXT_BEFORE
            elif field == 10:
                for which, inner in reader.struct(of_kind):
                    column.is_text |= which == TEXT
                    reader.skip(inner)
            else:
                reader.skip(of_kind)
        columns.append(column)
        if len(columns) > 1 + MAX_COLUMNS:
            raise TooLargeError(f"a table may have {MAX_COLUMNS} columns, this one has more")
    return columns


def _leaves(columns: list[ParquetColumn]) -> list[ParquetColumn]:
    """The columns behind the first, which stands for the table."""
    if len(columns) < 2:
        raise MalformedBodyError("the table has no column")
    for column in columns[1:]:
        name = cut(column.name[:40].decode(errors="replace"))
        if column.children or column.repetition >= REPEATED:
            raise MalformedBodyError(
                f"column {name!r} is of lists or structs: expected one value a row in each column"
            )
        named = TYPES[column.kind] if 0 <= column.kind < len(TYPES) else f"type {column.kind}"
        is_known = named in TYPES and (
            column.is_text
            if column.kind == BYTES
            else column.kind != FIXED or 0 < column.width <= MAX_FIXED_BYTES
        )
        if not is_known:
            raise MalformedBodyError(f"column {name!r} is of {named}, not numbers")
    if columns[0].children != len(columns) - 1:
        raise ValueError("its columns are not those of the table")
    return columns[1:]


def _groups(reader: ThriftReader, kind: int) -> list[RowGroup]:
    groups: list[RowGroup] = []
    chunks = 0
    for _ in reader.structs(kind):
        group = RowGroup([])
        for field, of_kind in reader.fields():
            if field == 1:
                group.chunks = [_chunk(reader) for _ in reader.structs(of_kind)]
            elif field == 3:
                group.rows = reader.whole(of_kind, I64)
            else:
                reader.skip(of_kind)
        groups.append(group)
        chunks += 1 + len(group.chunks)
        if chunks > MAX_CHUNKS:
            raise TooLargeError(
                f"a Parquet file may have {MAX_CHUNKS} columns of row groups, this one has more: "
                "write larger row groups"
            )
    return groups


def _chunk(reader: ThriftReader) -> Chunk:
    chunk = Chunk()
    for field, kind in reader.fields():
        if field == 1:
            chunk.is_elsewhere |= len(reader.binary(kind)) > 0
        elif field == 3:
            _details(reader, kind, chunk)
        elif field in (8, 9):
            raise ValueError("it is encrypted")
        else:
            reader.skip(kind)
    return chunk


def _details(reader: ThriftReader, kind: int, chunk: Chunk) -> None:
    for field, of_kind in reader.struct(kind):
        if field == 1:
            chunk.kind = reader.whole(of_kind)
        elif field == 5:
            chunk.values = reader.whole(of_kind, I64)
        elif field == 7:
            chunk.size = reader.whole(of_kind, I64)
        elif field == 9:
            chunk.first = reader.whole(of_kind, I64)
        elif field == 11:
            chunk.dictionary = reader.whole(of_kind, I64)
        else:
            reader.skip(of_kind)
