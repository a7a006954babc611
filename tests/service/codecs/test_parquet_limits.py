"""Parquet is refused by its footer and page headers, before pyarrow decodes any of it."""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.codecs.parquet.codec import read_parquet
from service.codecs.parquet.footer import MAX_CHUNKS, MAX_FOOTER_BYTES
from service.codecs.parquet.memory import measure_file
from service.codecs.parquet.thrift import I32, MAX_STEPS, STRUCT, ThriftReader
from service.errors import MalformedBodyError, MemoryFullError, ServiceError, TooLargeError
from service.inflight import InflightBudget, Reading, TakesLongError
from tests.helpers.parsers import BUDGET, LIMITS
from tests.helpers.reading import unbounded
from tests.helpers.tables import parquet_body

MIB = 2**20
SMALL = parquet_body({"amount": np.arange(3.0)}, store_schema=False)


def read(body: bytes, has_tables: bool = True) -> dict[str, Any]:
    with BUDGET.share() as share:
        return read_parquet(body, Reading(LIMITS, share, has_tables=has_tables), LIMITS.rows)


def zigzag(value: int) -> bytes:
    """A whole number as Thrift writes it."""
    value, parts = value << 1, []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def with_footer(body: bytes, footer: bytes) -> bytes:
    """The pages of a file with another footer."""
    length = int.from_bytes(body[-8:-4], "little")
    return body[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def footer_of(body: bytes) -> bytes:
    return body[-8 - int.from_bytes(body[-8:-4], "little") : -8]


def claiming(body: bytes, rows: int, claimed: int) -> bytes:
    """A file whose footer says that it has other rows than its pages."""
    before, after = zigzag(rows), zigzag(claimed)
    assert len(before) == len(after)
    return with_footer(body, footer_of(body).replace(before, after))


def one_text(rows: int, size: int) -> bytes:
    """Rows of the one text of a dictionary."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, "i4")), pa.array(["a" * size]))
    return parquet_body({"x": column})


TOO_LARGE: dict[str, tuple[bytes, str]] = {
    "one value again and again": (parquet_body({"x": np.zeros(3 * MIB)}), "may have 16384 rows"),
    "rows of nothing": (parquet_body({"x": pa.nulls(10**6)}), "may have 16384 rows"),
    "pages": (
        parquet_body({"x": np.zeros(9000), "y": np.zeros(9000)} | {
            f"z{i}": np.zeros(9000) for i in range(14)
        }, compression="zstd", use_dictionary=False),
        "may have 1048576 bytes, decompressed",
    ),
    "one text again and again": (one_text(16_000, 10_000), "160000000 bytes where each row"),
    "a long text": (parquet_body({"x": ["a" * 2 * MIB]}, compression="zstd"), "1048576 bytes, dec"),
    "texts": (
        parquet_body({k: np.arange(9000).astype(str) for k in "ab"}),
        "may have 16384 texts, this one has",
    ),
    "row groups": (
        parquet_body({"x": np.zeros(MAX_CHUNKS // 2)}, row_group_size=1, write_statistics=False),
        "16384 columns of row groups|262144 fields",
    ),
    "a footer": (
        with_footer(SMALL, bytes(MAX_FOOTER_BYTES + 1)),
        f"may have {MAX_FOOTER_BYTES} bytes, this one has {MAX_FOOTER_BYTES + 1}",
    ),
    "fields": (
        with_footer(SMALL, b"\x29" + b"\xfc" + zigzag(MAX_STEPS // 2) + bytes(MAX_STEPS)),
        "may have 16384 columns, this one has more",
    ),
    "fields that nobody reads": (
        with_footer(SMALL, b"\xf9" + b"\xfc" + zigzag(MAX_STEPS) + bytes(2 * MAX_STEPS)),
        f"may have {MAX_STEPS} fields, this one has more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_comes_to_too_much_is_refused(case: str) -> None:
    body, words = TOO_LARGE[case]
    assert len(body) < 3 * MIB
    before = pa.total_allocated_bytes()
    with pytest.raises(TooLargeError, match=words):
        read(body)
    assert pa.total_allocated_bytes() - before < MIB
    assert BUDGET.held == 0


ROWS = parquet_body({"x": np.arange(30_000) % 7}, store_schema=False)

FALSE: dict[str, tuple[bytes, str]] = {
    "fewer rows than pages": (claiming(ROWS, 30_000, 9_000), "of more values than it says"),
    "more rows than pages": (
        claiming(parquet_body({"x": np.arange(9000) % 7}, store_schema=False), 9_000, 16_000),
        "of fewer values than it says",
    ),
    "a field twice": (with_footer(SMALL, footer_of(SMALL)[:-1] + b"\x05\x02\x04\0"), "twice"),
    "cut off": (with_footer(SMALL, footer_of(SMALL)[:-4]), "Parquet file of a table: "),
    "no rows at all": (with_footer(SMALL, b"\0"), "the table has no column"),
    "encrypted": (SMALL[:-1] + b"E", "it is encrypted"),
    "too short": (b"PAR1", "does not begin and end as one"),
    "a footer that is longer": (SMALL[:-8] + b"\xff\xff\0\0PAR1", "longer than all of it"),
}


@pytest.mark.parametrize("case", FALSE)
def test_what_contradicts_itself_is_refused(case: str) -> None:
    body, words = FALSE[case]
    with pytest.raises(MalformedBodyError, match=words):
        read(body)


THRIFT: dict[str, bytes] = {
    "a number of 33 bits": b"\x15" + b"\x80\x80\x80\x80\x20\0",
    "a number without an end": b"\x15" + b"\x80" * 12,
    "another type": b"\x16\x02\0",
    "a field beyond all": b"\x05" + b"\x80\x80\x04" + b"\x02\0",
    "fields up to one beyond all": b"\xf5\x02" * 2200 + b"\0",
    "nothing": b"",
}


@pytest.mark.parametrize("case", THRIFT)
def test_numbers_that_pyarrow_reads_otherwise_are_refused(case: str) -> None:
    reader = ThriftReader(THRIFT[case])
    with pytest.raises((ValueError, IndexError)):
        _ = [reader.whole(kind, I32) for _, kind in reader.fields()]


def test_values_in_values_are_passed_over_to_a_depth() -> None:
    reader = ThriftReader(b"\x1c" * 5000)
    with pytest.raises(ValueError, match="deeper than metadata goes"):
        reader.skip(STRUCT)


def test_memory_is_charged_before_it_is_taken() -> None:
    body = parquet_body({k: np.zeros(16_000) for k in "ab"}, compression="zstd")
    size = measure_file(body, unbounded(), LIMITS.rows)
    assert size.rows == 16_000
    assert size.converted_bytes >= 2 * 16_000 * (8 + 8 + 4)
    budget = InflightBudget(size.converted_bytes + 1000)
    with budget.share() as share, budget.share() as others:
        reading = Reading(LIMITS, share)
        assert set(read_parquet(body, reading, LIMITS.rows)) == {"a", "b"}
        with pytest.raises(MemoryFullError):
            read_parquet(body, Reading(LIMITS, others), LIMITS.rows)


def test_no_file_is_read_on_the_event_loop() -> None:
    with BUDGET.share() as share, pytest.raises(TakesLongError):
        read_parquet(SMALL, Reading(LIMITS, share, on_loop=True), LIMITS.rows)


def test_servers_without_tables_read_numbers_and_text_alone() -> None:
    assert read(SMALL, has_tables=False)["amount"].tolist() == [0, 1, 2]
    for values in ([1.0, None], ["a", None]):
        gaps = read(parquet_body({"x": values}), has_tables=False)["x"]
        assert gaps.missing.tolist() == [False, True]
    for columns in ({"x": [True]}, {"x": pa.array([1], pa.timestamp("s"))}):
        with pytest.raises(ServiceError, match=r"expected numbers|not numbers"):
            read(parquet_body(columns), has_tables=False)
        assert read(parquet_body(columns))["x"].form in ("words", "numbers", "times")
