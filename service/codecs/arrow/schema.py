"""The schema of an Arrow stream, read off its metadata before pyarrow sees it."""

from dataclasses import dataclass, replace
from functools import lru_cache

from service.codecs.arrow.flatbuffer import I16, I32, U8, FlatTable
from service.errors import MalformedBodyError, TooLargeError

# More than any table of rows has, lists and their values counted apart.
MAX_FIELDS = 2**14
MAX_NESTING = 64

# Of all names and remarks; many may be one string that is copied for each.
MAX_NAME_BYTES = 2**20
# Of what pyarrow holds for a remark, beside its bytes.
BYTES_PER_REMARK = 64

# Callers send the same few schemas again and again; a long one is not worth its room in the cache,
# nor to be read on the event loop.
CACHED_SCHEMAS = 64
QUICK_SCHEMA_BYTES = 2**13

# Of a text in an array of numpy, beside its characters where they are more than fit.
TEXT_BYTES = 16

# Arrow's types by their number, from none.
# fmt: off
TYPES = (
    "none", "null", "int", "float", "binary", "text", "bool", "decimal", "date", "time",
    "timestamp", "interval", "list", "struct", "union", "fixed-size-binary", "fixed-size-list",
    "map", "duration", "large-binary", "large-text", "large-list", "run-end-encoded",
    "binary-view", "text-view", "list-view", "large-list-view",
)
# fmt: on
INT, FLOAT, FIXED_LIST = 2, 3, 16
TEXTS = (5, 20, 24)

# Bytes of a value of the types that only models of typed columns take.
TYPED = {1: 8, 6: 1, 7: 32, 8: 8, 9: 8, 10: 8, 18: 8}

NO_TABLE = "the body is not an Arrow stream of a table"


@dataclass(frozen=True)
class Column:
    """A column of a schema.

    Args:
        values: of each row.
        value_bytes: of each of them, as numpy holds it.
        is_text: whether each is a text by itself, of no dictionary.
        is_dictionary: whether each is an index of a dictionary.
        is_typed: whether only models of typed columns take it.
    """

    values: int
    value_bytes: int
    is_text: bool = False
    is_dictionary: bool = False
    is_typed: bool = False


@dataclass(frozen=True)
class SchemaSize:
    """What a row of a schema comes to.

    Args:
        columns: how many there are.
        values: of a row.
        bytes: of them.
        widest: bytes of the largest of them.
        texts: of a row.
        lookups: indices of dictionaries in a row.
        typed: values of a row that only models of typed columns take.
    """

    columns: int
    values: int
    bytes: int
    widest: int
    texts: int
    lookups: int
    typed: int


def measure_schema(metadata: bytes, may_be_typed: bool = False) -> SchemaSize:
    """What a row comes to.

    Args:
        metadata: of the message that holds the schema.
        may_be_typed: whether columns may be of times, truth values, decimals and nothing too.

    Raises:
        MalformedBodyError: there is no column, or one is of neither numbers nor texts nor lists of
            one length of them.
        TooLargeError: more columns, or longer names, than any table has.
        struct.error, ValueError: it is no schema.
    """
    measure = _measured if len(metadata) <= QUICK_SCHEMA_BYTES else _measured.__wrapped__
    return measure(metadata, may_be_typed)


@lru_cache(CACHED_SCHEMAS)
def _measured(metadata: bytes, may_be_typed: bool) -> SchemaSize:
    header = FlatTable.root(metadata).table(2)
    if header is None:
        raise ValueError("a schema of nothing")
    names = NameCount()
    names.add_remarks(header, 2)
    reader = _Columns(names, may_be_typed)
    columns = [reader.column(column, 0) for column in header.tables(1)]
    if not columns:
        raise MalformedBodyError("the table has no column")
    return SchemaSize(
        len(columns),
        values=sum([column.values for column in columns]),
        bytes=sum([column.values * column.value_bytes for column in columns]),
        widest=max([column.value_bytes for column in columns]),
        texts=sum([column.values for column in columns if column.is_text]),
        lookups=sum([column.values for column in columns if column.is_dictionary]),
        typed=sum([column.values for column in columns if column.is_typed]),
    )


class NameCount:
    """Counts the bytes of names and remarks."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count one.

        Raises:
            TooLargeError: they are too many.
        """
        self.bytes += size
        if self.bytes > MAX_NAME_BYTES:
            raise TooLargeError(
                f"the names and remarks of a table may have {MAX_NAME_BYTES} bytes, these have more"
            )

    def add_remarks(self, table: FlatTable, field: int) -> None:
        """Count the keys and values of a table's `custom_metadata`, which is this field."""
        for pair in table.tables(field):
            self.add(pair.vector(0)[1] + pair.vector(1)[1] + BYTES_PER_REMARK)


class _Columns:
    """Reads the columns of one schema."""

    def __init__(self, names: NameCount, may_be_typed: bool) -> None:
        self._names = names
        self._may_be_typed = may_be_typed
        self._fields = 0

    def column(self, column: FlatTable, depth: int) -> Column:
        """One column, or the values of a list."""
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise TooLargeError(f"a table may have {MAX_FIELDS} columns, this one has more")
        name = column.string(0)
        self._names.add(len(name))
        self._names.add_remarks(column, 6)
        kind, details, dictionary = column.number(2, U8), column.table(3), column.table(4)
        _, children = column.vector(5)
        if details is None:
            raise ValueError("a column without a type")
        if kind == FIXED_LIST and dictionary is None and children == 1 and depth < MAX_NESTING:
            length = details.number(0, I32)
            if length < 0:
                raise ValueError("a list of less than nothing")
            (child,) = column.tables(5)
            inner = self.column(child, depth + 1)
            values = length * inner.values
            return replace(inner, values=values)
        is_typed = self._may_be_typed and kind in TYPED and depth == 0
        if (kind not in (INT, FLOAT, *TEXTS) and not is_typed) or children:
            named = TYPES[kind] if kind < len(TYPES) else f"type {kind}"
            raise MalformedBodyError(
                f"column {name[:40].decode(errors='replace')!r} is of {named}, not numbers"
            )
        if dictionary is not None:
            return Column(1, TEXT_BYTES, is_dictionary=True, is_typed=is_typed)
        if is_typed:
            return Column(1, TYPED[kind], is_typed=True)
        if kind == INT:
            return Column(1, max(1, details.number(0, I32) // 8))
        if kind == FLOAT:
            return Column(1, 2 << (details.number(0, I16) & 3))
        return Column(1, TEXT_BYTES, is_text=True)
