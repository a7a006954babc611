"""Headers of npy bodies: read strictly, refused by dtype before a value is looked at."""

import io
import sys
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.codecs.npy import read_array
from service.errors import InvalidInputError, MalformedBodyError, ServiceError
from service.operations.values import to_float32
from tests.helpers.http import NPY, to_npy
from tests.helpers.parsers import LIMITS, SCHEMAS, read_body

NUMBERS = [f"{o}{k}{n}" for o in "<>" for k in "iu" for n in (1, 2, 4, 8)]
NUMBERS += [f"{o}f{n}" for o in "<>" for n in (2, 4, 8)]


def with_header(header: str, values: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + values


def layout(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)


@given(st.sampled_from(NUMBERS).flatmap(lambda d: arrays.arrays(d, SHAPES)), st.booleans())
def test_arrays_of_numbers_are_read_as_numpy_reads_them(array: Any, is_fortran: bool) -> None:
    body = to_npy(np.asfortranarray(array) if is_fortran else array)
    read, expected = read_array(body), np.load(io.BytesIO(body))
    assert (read.dtype, read.shape) == (expected.dtype, expected.shape)
    assert read.tobytes() == expected.tobytes()
    if array.dtype.kind in "iu":
        np.testing.assert_array_equal(to_float32(array), array.astype(np.float32))


def test_other_writers_of_headers_are_read() -> None:
    ones = np.ones((1, 2), "<f4")
    for header in (
        '{"shape": (1,2), "fortran_order":False,"descr": "<f4"}',
        "{ 'descr' : '<f4' , 'shape' : ( 1 , 2 , ) , 'fortran_order' : True }      \n",
    ):
        np.testing.assert_array_equal(read_array(with_header(header, ones.tobytes())), ones)


MALFORMED = {
    "true as a side": layout("(True, 2)"),
    "a negative side": layout("(-1, 2)"),
    "a side of thousands of digits": layout("(" + "9" * 3000 + ", 2)"),
    "a side of 19 digits, twice": layout("(9999999999999999999, 9999999999999999999)"),
    "more values than there are addresses": layout("(0, 9223372036854775807, 2)"),
    "more dimensions than numpy has": layout("(" + "1, " * 65 + ")"),
    "no shape": "{'descr': '<f4', 'fortran_order': False}",
    "shape twice": layout("(1,)") + "'shape': (2,)",
    "another key": layout("(1,)").replace("}", "'more': 1}"),
    "what Python 2 wrote": layout("(1L, 2L)"),
    "code": layout("(1,)").replace("False", "print(1)"),
    "a warning of Python's": layout("(1,)", "'\\d' if 1is 1 else '<f4'"),
    "brackets": "(" * 500,
    "a long header": layout("(1,)") + " " * 5000,
    "objects": layout("(1,)", "'|O'"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_headers_are_refused_without_a_warning(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MalformedBodyError, match="not an npy array"):
            read_array(with_header(MALFORMED[case], bytes(4)))


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (np.zeros((2, 2**20), bool), "bool"),
        (np.zeros((2, 2**20), "S1"), "bytes"),
        (np.zeros((2, 2**18), "U1"), "<U1"),
        (np.zeros(2, [("a", "<f4"), ("b", "<i2")]), "structured"),
        (np.zeros(2, "V3"), "void"),
        (np.zeros(2, "M8[s]"), "<M8"),
        (np.zeros(2, complex), "complex128"),
    ],
)
def test_what_is_no_number_is_refused_by_its_dtype_before_its_values(array: Any, name: str) -> None:
    body = to_npy(array)
    tracemalloc.start()
    with pytest.raises(InvalidInputError, match=f"its dtype is {name}"):
        read_body(SCHEMAS["log_prob"], NPY, body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**16


def test_text_is_read_where_it_may_be_context_alone() -> None:
    names = np.array([["red", "a longer name"], ["blué", ""]])
    for array in (names, names.astype(">U13"), np.asfortranarray(names)):
        read = read_body(SCHEMAS["sample"], NPY, to_npy(array)).context
        assert read.tolist() == names.tolist()
    for point in (sys.maxunicode + 1, 0xD800, 2**32 - 1):
        body = bytearray(to_npy(names))
        body[-4:] = point.to_bytes(4, "little")
        with pytest.raises(MalformedBodyError, match="invalid code point"):
            read_body(SCHEMAS["sample"], NPY, bytes(body))
    many = np.zeros(LIMITS.json_values + 1, "U1")
    with pytest.raises(ServiceError, match="may have 16384 texts"):
        read_body(SCHEMAS["sample"], NPY, to_npy(many))
