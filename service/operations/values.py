"""Values of a request as arrays: every array is checked here before it is used."""

import math
import struct
from collections.abc import Callable, Sequence
from itertools import chain
from types import NoneType
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from service.errors import shown
from service.types import Float32, Float64, Floats

# numpy's limit.
MAX_DIMENSIONS = 64

# The letters of `struct` for numpy's dtypes.
FORMATS = (
    {"|i1": "b", "<i2": "h", "<i4": "i", "<i8": "q"}
    | {"|u1": "B", "<u2": "H", "<u4": "I", "<u8": "Q"}
    | {"<f2": "e", "<f4": "f", "<f8": "d"}
)

NUMBER_DTYPES = (np.dtype("<f4"), np.dtype("<f8"))
WIDE_DTYPES = (np.dtype("<f8"),)
"""Types of the numbers in requests: to a flow, and to a model of typed columns."""

# Of fewer bytes, words are found sooner than each of their first letters.
QUICK_TEXT_BYTES = 2048

# More letters t or f than the names in a request have; beyond, counting takes too long.
MAX_LETTERS = 500


def to_float32(value: Any, has_holes: bool = False) -> Float32:
    """Nested lists or an array of numbers as float32, all finite.

    Args:
        value: of a request.
        has_holes: whether the rows of null, NaN, and numbers that float32 cannot hold are found
            later: the first two are NaN in the array, the others infinite.

    Raises:
        ValueError: not numbers, ragged, or a number that float32 cannot hold; says where.
    """
    array = _array(value, (int, float, NoneType) if has_holes else (int, float))
    # every whole number of 64 bits is one of float32, rounded
    if array.dtype == np.float32 or array.dtype.kind in "iu":
        single = np.asarray(array, dtype=np.float32, order="C")
        if array.dtype.kind != "f":
            return single
    else:
        single = _floats(array, np.float32, has_holes)
    if has_holes:
        return single
    finite = np.isfinite(single)
    # for few numbers `all` takes three times as long
    if np.count_nonzero(finite) < finite.size:
        place = np.unravel_index(int(np.argmin(finite)), array.shape)
        where = "".join(f"[{i}]" for i in place)
        raise ValueError(f"expected finite float32 numbers; {where} is {array[place]}")
    return single


def to_float64(value: Any, may_lack: bool = False, has_holes: bool = False) -> Float64:
    """Nested lists or an array of numbers as float64, all finite.

    Args:
        value: of a request.
        may_lack: whether there may be null and NaN, which are NaN in the array.
        has_holes: as of `to_float32`.

    Raises:
        ValueError: not numbers, ragged, or a number that float64 cannot hold; says where.
    """
    array = _array(value, (int, float, NoneType) if may_lack or has_holes else (int, float))
    numbers: Float64 = _floats(array, np.float64, has_holes)
    if has_holes:
        return numbers
    bad = np.isinf(numbers) if may_lack else ~np.isfinite(numbers)
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), array.shape)
        where = "".join(f"[{i}]" for i in place)
        raise ValueError(f"expected finite float64 numbers; {where} is {array[place]}")
    return numbers


def number_array(
    value: list[Any], dtypes: Sequence[np.dtype[Any]] = NUMBER_DTYPES
) -> NDArray[np.floating] | None:
    """Nested lists of numbers as an array; None where they are anything else.

    It is of the first type that can hold them: of float32, which is what most requests are of, or
    else of float64.

    It is quick, and takes true and false for numbers: the caller makes sure that there are none.
    """
    rectangle = flatten_lists(value)
    if rectangle is None:
        return None
    shape, flat = rectangle
    for dtype in dtypes:
        try:
            return pack_numbers(flat, dtype).reshape(shape)
        except OverflowError:
            continue
        except struct.error:
            return None
    return None


def pack_numbers(flat: list[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers as an array of one of the `FORMATS`, true and false among them.

    Raises:
        struct.error, OverflowError: they are not numbers, not whole ones, or out of range.
    """
    # as quick as can be, where numpy's own constructor takes text for numbers, or all for text
    layout = struct.Struct(f"<{len(flat)}{FORMATS[dtype.str]}")
    return np.frombuffer(layout.pack(*flat), dtype)


def flatten_lists(value: list[Any]) -> tuple[tuple[int, ...], list[Any]] | None:
    """Shape and values, row-major, of nested lists; None where they are ragged or too deep.

    What it calls loops over the values in C. Lists that stand where the first value is none are
    left among the values.
    """
    shape, flat = [len(value)], value
    while flat and type(flat[0]) is list:
        if set(map(type, flat)) != {list}:
            return None
        lengths = set(map(len, flat))
        shape.append(lengths.pop())
        if lengths or len(shape) > MAX_DIMENSIONS:
            return None
        flat = list(chain.from_iterable(flat))
    return tuple(shape), flat


def count_booleans(text: bytes, length: int) -> int:
    """How often true and false stand in so many bytes of JSON; −1 where counting takes long."""
    if length <= QUICK_TEXT_BYTES:
        return text.count(b"true", 0, length) + text.count(b"false", 0, length)
    count = 0
    for word in (b"true", b"false"):
        # a byte is found many times sooner than a word, and a request has few letters
        place = text.find(word[:1], 0, length)
        for _ in range(MAX_LETTERS):
            if place < 0:
                break
            count += text.startswith(word, place)
            place = text.find(word[:1], place + 1, length)
        else:
            return -1
    return count


def to_context(value: Any, to_numbers: Callable[..., NDArray[Any]] = to_float32) -> NDArray[Any]:
    """Nested lists or an array of numbers as numbers; with text among them, as they are.

    Which of the values are no numbers or classes, `context.rows` says, by row.

    Raises:
        ValueError: neither numbers nor text, or ragged.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "UT":
        return value
    array = _array(value, (int, float, str, NoneType))
    has_text = array.dtype.kind == "O" and str in set(map(type, array.ravel()))
    return array if has_text else to_numbers(value, has_holes=True)


def _array(value: Any, kinds: tuple[type, ...]) -> NDArray[Any]:
    """An array, or nested lists as one of objects, of these kinds alone."""
    # as objects first: numpy would take true for 1, and make a list with one long string in it
    # into an array of strings all as long
    array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype=object)
    kind = array.dtype.kind
    # only objects are looked at one by one
    if kind not in "fiu" and (kind != "O" or not set(map(type, array.ravel())) <= {*kinds}):
        raise ValueError(f"expected an array of numbers; {_mismatch(value, kinds)}")
    return array


def _floats(array: NDArray[Any], dtype: type[np.floating[Any]], has_holes: bool) -> NDArray[Any]:
    """Numbers and nulls of any length as floats: NaN for null, infinite beyond the type."""

    def number(value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf

    with np.errstate(over="ignore"):
        try:
            return np.asarray(array, dtype=dtype, order="C")
        except OverflowError:  # of whole numbers of hundreds of digits
            if has_holes:
                flat = [math.nan if v is None else number(v) for v in array.ravel()]
                return np.array(flat, dtype).reshape(array.shape)
    name = np.dtype(dtype).name
    raise ValueError(f"expected finite {name} numbers; one has hundreds of digits")


def _mismatch(value: Any, kinds: tuple[type, ...]) -> str:
    """What keeps a value from being an array of these kinds."""
    if isinstance(value, np.ndarray):
        return "it is of text" if value.dtype.kind in "UT" else f"its dtype is {value.dtype}"
    if isinstance(value, list):
        return first_mismatch(value, kinds) or "it is nested too deeply"
    return f"this is {described_value(value)}"


def first_mismatch(value: list[Any], kinds: tuple[type, ...], path: str = "") -> str:
    """Where nested lists stop being a rectangle of these kinds, for people; empty for nowhere.

    Slow: only errors come here.
    """
    if path.count("[") > MAX_DIMENSIONS:
        return ""
    for i, item in enumerate(value):
        here = f"{path}[{i}]"
        if isinstance(item, list) != isinstance(value[0], list):
            return (
                f"{here} is {described_value(item)} where {path}[0] is {described_value(value[0])}"
            )
        if isinstance(item, list):
            if len(item) != len(value[0]):
                return f"{here} has {len(item)} values where {path}[0] has {len(value[0])}"
            if deeper := first_mismatch(item, kinds, here):
                return deeper
        elif type(item) not in kinds:
            return f"{here} is {described_value(item)}"
    return ""


def described_value(value: Any) -> str:
    """What a JSON value is called, with the value where it is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    if isinstance(value, list):
        return "an array"
    return "an object" if isinstance(value, dict) else f"the number {shown(value)}"


Array = Annotated[
    Floats,
    PlainValidator(to_float32),
    WithJsonSchema({"type": "array", "items": {}, "description": "nested arrays of numbers"}),
]
"""A field that takes nested lists of numbers and holds a checked float32 array."""


def is_partial(info: ValidationInfo) -> bool:
    """Whether rows that lack numbers are found later; of fields below `partial` in their schema."""
    return bool(info.data.get("partial", False))


def _to_rows(value: Any, info: ValidationInfo) -> Float32:
    # of every request, where a call of `is_partial` takes time
    return to_float32(value, info.data.get("partial", False))


RowArray = Annotated[
    Floats,
    PlainValidator(_to_rows),
    WithJsonSchema({"type": "array", "items": {}, "description": "nested arrays of numbers"}),
]
"""The same of rows, with holes where the other rows are answered: see `is_partial`."""

WideRowArray = Annotated[
    Float64,
    PlainValidator(lambda value, info: to_float64(value, has_holes=is_partial(info))),
    WithJsonSchema({"type": "array", "items": {}, "description": "nested arrays of numbers"}),
]
"""The same of float64, for models of typed columns."""

_CONTEXT_SCHEMA = WithJsonSchema(
    {"type": "array", "items": {}, "description": "numbers, or names of classes"}
)

ContextArray = Annotated[NDArray[Any], PlainValidator(to_context), _CONTEXT_SCHEMA]
"""A field that takes numbers and names, and leaves to the model what they mean."""

WideContextArray = Annotated[
    NDArray[Any],
    PlainValidator(lambda value: to_context(value, to_float64)),
    _CONTEXT_SCHEMA,
]
"""The same of float64."""
