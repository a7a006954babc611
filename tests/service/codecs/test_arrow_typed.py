"""Columns of Arrow that only models of typed columns take: what they are, and what they cost."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.codecs.arrow.columns import QUICK_CONVERTED
from service.codecs.arrow.memory import measure_stream
from service.codecs.arrow.table import read_table
from service.errors import MalformedBodyError, TooLargeError
from service.inflight import Reading, TakesLongError
from tests.helpers.parsers import BUDGET, LIMITS, arrow_stream
from tests.helpers.reading import unbounded


def read(columns: dict[str, Any], on_loop: bool = False) -> dict[str, Any]:
    with BUDGET.share() as share:
        reading = Reading(LIMITS, share, on_loop=on_loop, has_tables=True)
        return read_table(arrow_stream(columns), reading, LIMITS.rows)


def test_a_text_that_many_rows_share_is_counted_where_values_are_missing_too() -> None:
    words = pa.array([None, "a" * 10_000])
    codes = pa.array(np.ones(1000, np.int8))
    with pytest.raises(TooLargeError, match="10000000 bytes where each row has its own"):
        read({"x": pa.DictionaryArray.from_arrays(codes, words)})


def test_lists_of_other_values_are_refused() -> None:
    for values in (pa.nulls(2), pa.array([True, False])):
        with pytest.raises(MalformedBodyError, match="not numbers"):
            read({"x": pa.FixedSizeListArray.from_arrays(values, 2)})


def test_nothing_of_many_rows_is_refused_by_number() -> None:
    with pytest.raises(TooLargeError, match="may have 16384 rows"):
        read({"x": pa.nulls(20_000)})


def test_what_is_converted_value_by_value_is_charged_and_kept_off_the_loop() -> None:
    plain, typed = (
        {f"c{i}": pa.array(np.zeros(4), pa.int64()).cast(kind) for i in range(QUICK_CONVERTED + 1)}
        for kind in (pa.int64(), pa.timestamp("s"))
    )
    assert len(read(plain, on_loop=True)) == len(plain)
    with pytest.raises(TakesLongError):
        read(typed, on_loop=True)
    few = dict(list(typed.items())[:QUICK_CONVERTED])
    assert {column.form for column in read(few, on_loop=True).values()} == {"times"}
    tables = unbounded()
    tables.has_tables = True
    sizes = [measure_stream(arrow_stream(each), tables, 9) for each in (plain, typed)]
    assert sizes[0].converted_bytes < sizes[1].converted_bytes
