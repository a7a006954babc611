"""Files of rows in every format, read piece by piece from any place on."""

from service.bulk.sources.csv import CsvSource
from service.bulk.sources.ndjson import NdjsonSource
from service.bulk.sources.opening import (
    ENDINGS,
    FORMATS,
    INPUT_FORMATS,
    PIPE,
    format_of,
    open_source,
    shown_name,
)

__all__ = [
    "ENDINGS",
    "FORMATS",
    "INPUT_FORMATS",
    "PIPE",
    "CsvSource",
    "NdjsonSource",
    "format_of",
    "open_source",
    "shown_name",
]
