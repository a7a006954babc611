"""Bodies to requests and answers to bodies, one module for each media type."""

from service.codecs.base import (
    BYTES_TYPE,
    CSV_TYPE,
    JSON_TYPE,
    PROBLEM_TYPE,
    AnswerStream,
    Codec,
    check_output,
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
    "JSON_TYPE",
    "MIN_CHARGED_BYTES",
    "PROBLEM_TYPE",
    "AnswerStream",
    "Codec",
    "PendingRequest",
    "check_json_size",
    "check_output",
    "choose_codec",
    "converted_bytes",
    "json_pieces",
    "parse_request",
]
