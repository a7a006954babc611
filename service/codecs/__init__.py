"""Bodies to requests and answers to bodies, one module for each media type."""

from service.codecs.arrow import HAS_PYARROW, NO_PYARROW, columns_of
from service.codecs.base import (
    BYTES_TYPE,
    CSV_TYPE,
    JSON_TYPE,
    PROBLEM_TYPE,
    AnswerStream,
    Codec,
    check_output,
)
from service.codecs.csv import (
    MAX_LINE_CHARACTERS,
    cells_of_comment,
    column_with_nul,
    columns_of_cells,
    header_names,
)
from service.codecs.fields import PendingRequest
from service.codecs.json import check_json_size
from service.codecs.json_writer import json_pieces
from service.codecs.negotiation import choose_codec
from service.codecs.npy import MIN_CHARGED_BYTES, converted_bytes
from service.codecs.registry import CODECS, parse_request

__all__ = [
    "BYTES_TYPE",
    "CODECS",
    "CSV_TYPE",
    "HAS_PYARROW",
    "JSON_TYPE",
    "MAX_LINE_CHARACTERS",
    "MIN_CHARGED_BYTES",
    "NO_PYARROW",
    "PROBLEM_TYPE",
    "AnswerStream",
    "Codec",
    "PendingRequest",
    "cells_of_comment",
    "check_json_size",
    "check_output",
    "choose_codec",
    "column_with_nul",
    "columns_of",
    "columns_of_cells",
    "converted_bytes",
    "header_names",
    "json_pieces",
    "parse_request",
]
