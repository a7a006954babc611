"""CSV is refused by its size, its lines and its cells, and read in a thread where it is long."""

import re
from dataclasses import replace

import pytest

from service.codecs import csv
from service.codecs.csv import MAX_LINE_CHARACTERS, read_csv
from service.codecs.flat_columns import MAX_COLUMNS
from service.errors import MalformedBodyError, MemoryFullError, ServiceError, TooLargeError
from service.inflight import InflightBudget, Reading, TakesLongError
from service.tables import Preamble, RawColumn
from tests.helpers.parsers import BUDGET, LIMITS


def read(body: bytes, on_loop: bool = False) -> dict[str, RawColumn]:
    with BUDGET.share() as share:
        return read_csv(body, Reading(LIMITS, share, on_loop=on_loop), 1000)


REFUSED: dict[str, tuple[bytes, type[ServiceError], str]] = {
    "bytes": (b"a\n" + b"1\n" * LIMITS.json_bytes, TooLargeError, "262144 bytes of CSV"),
    "cells": (b"a" + b",b" * LIMITS.json_values, TooLargeError, "16384 cells of CSV, this one has"),
    "lines": (b"a\n" + b"\r" * LIMITS.json_values, TooLargeError, "16384 cells of CSV"),
    "empty lines": (b"\n" * LIMITS.json_values, TooLargeError, "16384 cells of CSV"),
    "comments": (b"#\n" * LIMITS.json_values, TooLargeError, "16384 cells of CSV"),
    "lines before tabs": (b"sep=\t" + b"\r" * LIMITS.json_values, TooLargeError, "cells of CSV"),
    "rows": (b"a\n" + b"1\n" * 1001, TooLargeError, "may have 1000 rows"),
    "a long cell": (b"a\n" + b"1" * 200_000, MalformedBodyError, "line 2: field larger than field"),
    "a quote never closed": (b'a\n"' + b"b" * 1000, MalformedBodyError, "unexpected end of data"),
    "lines in quotes": (b'a\n"' + b"1\n" * 9000, MalformedBodyError, "unexpected end of data"),
    "no text": (bytes(range(256)), MalformedBodyError, "is not UTF-8"),
    "text of 16 bits": ("a,b\n1,2".encode("utf-16"), MalformedBodyError, "is not UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_too_much_or_none_is_refused(case: str) -> None:
    body, error, words = REFUSED[case]
    with pytest.raises(error, match=re.escape(words)):
        read(body)
    assert BUDGET.held == 0


@pytest.mark.parametrize("line", [b"\n", b"#\n", b"\r", b"# a\r\n"])
def test_lines_before_the_header_are_counted_before_they_are_taken(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []

    class Counted(Preamble):
        def takes(self, line: str) -> bool:
            taken.append(line)
            return super().takes(line)

    monkeypatch.setattr(csv, "Preamble", Counted)
    with pytest.raises(TooLargeError, match="16384 cells of CSV"):
        read(line * LIMITS.json_values)
    assert len(taken) == 1


def test_lines_are_not_longer_than_rows() -> None:
    limits = replace(LIMITS, json_bytes=2**20)
    body = b"a\n" + b" " * MAX_LINE_CHARACTERS
    with BUDGET.share() as share:
        reading = Reading(limits, share)
        with pytest.raises(MalformedBodyError, match="field larger than field limit"):
            read_csv(body, reading, 1000)
        with pytest.raises(TooLargeError, match="a line of CSV may have 262144 characters"):
            read_csv(body + b" ", reading, 1000)


def test_columns_are_counted_in_the_header() -> None:
    assert LIMITS.json_values >= MAX_COLUMNS
    names = ",".join(map(str, range(MAX_COLUMNS)))
    assert len(read(names.encode())) == MAX_COLUMNS


def test_long_bodies_are_read_in_a_thread_and_charged() -> None:
    short, long = b"a,b\n1,2\n", b"a,b\n" + b"1,2\n" * 900 + b" " * 20_000
    assert len(read(short, on_loop=True)) == 2
    with pytest.raises(TakesLongError):
        read(b"a,b\n" + b"1,2\n" * 8000, on_loop=True)
    budget = InflightBudget(100 * 1800)
    with budget.share() as share, pytest.raises((MemoryFullError, TooLargeError), match="memory"):
        read_csv(long, Reading(LIMITS, share), 1000)


def test_cells_are_words_and_empty_ones_are_gaps() -> None:
    columns = read(b'a,b\n1,NA\n,"x, ""y"""\n\n2,\n')
    assert columns["a"].words == ("1", "2")
    assert columns["a"].missing.tolist() == [False, True, False]
    assert [columns["b"].value(row) for row in range(3)] == ["'NA'", "'x, \"y\"'", "missing"]
