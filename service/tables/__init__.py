"""Tables of typed columns: their kinds, and the parsing of their values.

Needs neither torch nor pyarrow; used by training and by requests.
"""

from service.tables.columns import (
    CategoricalColumn,
    Column,
    ColumnName,
    DatetimeColumn,
    LatticeColumn,
    LeftOutColumn,
    NumericColumn,
    TableError,
    Word,
    is_column_name,
    on_lattice,
    some_value,
)
from service.tables.conversion import Converted, ValueFault, check_names, numbers_in, to_rows
from service.tables.dates import WRITTEN_TIMES, texts_of
from service.tables.decision import (
    KINDS,
    MIN_DISTINCT_VALUES,
    Decision,
    Overrides,
    Understood,
    combinations,
    decide,
    marker,
    outlier,
    repeat_by_nature,
    row_digests,
    sampled_rows,
    twins,
)
from service.tables.durations import duration_texts
from service.tables.labels import anomalies_of
from service.tables.preamble import Preamble, is_header
from service.tables.raw import RawColumn, RawTable, from_arrow
from service.tables.support import in_cells, support_of
from service.tables.unfamiliar import Unfamiliar, remarks_on, unfamiliar_values
from service.tables.values import from_array, from_columns, from_records, from_values
from service.tables.words import GAPS, NUL, cause, is_number, number_of, undivided
from service.tables.writing import OTHER, expected, to_values

__all__ = [
    "GAPS",
    "KINDS",
    "MIN_DISTINCT_VALUES",
    "NUL",
    "OTHER",
    "WRITTEN_TIMES",
    "CategoricalColumn",
    "Column",
    "ColumnName",
    "Converted",
    "DatetimeColumn",
    "Decision",
    "LatticeColumn",
    "LeftOutColumn",
    "NumericColumn",
    "Overrides",
    "Preamble",
    "RawColumn",
    "RawTable",
    "TableError",
    "Understood",
    "Unfamiliar",
    "ValueFault",
    "Word",
    "anomalies_of",
    "cause",
    "check_names",
    "combinations",
    "decide",
    "duration_texts",
    "expected",
    "from_array",
    "from_arrow",
    "from_columns",
    "from_records",
    "from_values",
    "in_cells",
    "is_column_name",
    "is_header",
    "is_number",
    "marker",
    "number_of",
    "numbers_in",
    "on_lattice",
    "outlier",
    "remarks_on",
    "repeat_by_nature",
    "row_digests",
    "sampled_rows",
    "some_value",
    "support_of",
    "texts_of",
    "to_rows",
    "to_values",
    "twins",
    "undivided",
    "unfamiliar_values",
]
