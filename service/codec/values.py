"""Bodies to arrays and back, JSON and npy. Every array is checked here before it is used."""

import io
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import orjson
import pydantic_core
from numpy.typing import NDArray
from pydantic import PlainValidator, WithJsonSchema

from service.engine import Float32
from service.errors import MalformedBodyError

JSON, NPY, PROBLEM = "application/json", "application/x-npy", "application/problem+json"


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        MalformedBodyError: the body is not JSON, or not an object.
    """
    try:
        content = pydantic_core.from_json(body)
    except ValueError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise MalformedBodyError(f"expected a JSON object, got {_name(content)}")
    return content


def parse_npy(body: bytes) -> NDArray[np.generic]:
    """An array in npy format; nothing is ever unpickled.

    Raises:
        MalformedBodyError: the body is not one whole npy array.
    """
    file = io.BytesIO(body)
    try:
        array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"the body is not an npy array: {error}") from None
    if rest := len(body) - file.tell():
        raise MalformedBodyError(
            f"{rest} bytes follow the npy array: expected one array and no more"
        )
    return array


def dump_json(content: Mapping[str, Any]) -> bytes:
    """JSON in which each float32 has its shortest exact digits, and −inf is null."""
    arrays = {
        k: np.ascontiguousarray(v) if isinstance(v, np.ndarray) else v for k, v in content.items()
    }
    return orjson.dumps(arrays, option=orjson.OPT_SERIALIZE_NUMPY)


def dump_npy(array: Float32) -> bytes:
    """One array in npy format."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def to_float32(value: Any) -> Float32:
    """Nested lists or an array of numbers as float32, all finite.

    Raises:
        ValueError: not numbers, ragged, or a number that float32 cannot hold; says where.
    """
    array = _array(value, (int, float))
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(array, dtype=np.float32, order="C")
    except OverflowError:
        raise ValueError("expected finite float32 numbers; one has hundreds of digits") from None
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        place = np.unravel_index(int(bad[0]), array.shape)
        where = "".join(f"[{i}]" for i in place)
        raise ValueError(f"expected finite float32 numbers; {where} is {array[place]}")
    return numbers


def to_context(value: Any) -> NDArray[Any]:
    """Nested lists or an array of numbers as float32; with text among them, as they are.

    Raises:
        ValueError: neither numbers nor text, ragged, or a number that float32 cannot hold.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value
    array = _array(value, (int, float, str))
    return array if str in set(map(type, array.ravel())) else to_float32(value)


def _array(value: Any, kinds: tuple[type, ...]) -> NDArray[Any]:
    """An array, or nested lists as one of objects, of these kinds alone."""
    # as objects first: numpy would take true for 1, and make a list with one long string in it
    # into an array of strings all as long
    array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype=object)
    if array.dtype.kind not in "fiu" and not set(map(type, array.ravel())) <= {*kinds}:
        raise ValueError(f"expected an array of numbers; {_wrong(value, kinds)}")
    return array


def _wrong(value: Any, kinds: tuple[type, ...]) -> str:
    """What keeps a value from being an array of these kinds."""
    if isinstance(value, np.ndarray):
        return f"its dtype is {value.dtype}"
    if isinstance(value, list):
        return _first_wrong(value, kinds) or "it is nested too deeply"
    return f"this is {_name(value)}"


def _first_wrong(value: list[Any], kinds: tuple[type, ...], path: str = "") -> str:
    """Where nested lists stop being a rectangle of these kinds. Slow: only errors come here."""
    for i, item in enumerate(value):
        here = f"{path}[{i}]"
        if isinstance(item, list) != isinstance(value[0], list):
            return f"{here} is {_name(item)} where {path}[0] is {_name(value[0])}"
        if isinstance(item, list):
            if len(item) != len(value[0]):
                return f"{here} has {len(item)} values where {path}[0] has {len(value[0])}"
            if deeper := _first_wrong(item, kinds, here):
                return deeper
        elif type(item) not in kinds:
            return f"{here} is {_name(item)}"
    return ""


def _name(value: Any) -> str:
    """What a JSON value is called, with the value where it is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    if isinstance(value, list):
        return "an array"
    return "an object" if isinstance(value, dict) else f"the number {value}"


Array = Annotated[
    Float32,
    PlainValidator(to_float32),
    WithJsonSchema({"type": "array", "items": {}, "description": "nested arrays of numbers"}),
]
"""A field that takes nested lists of numbers and holds a checked float32 array."""

ContextArray = Annotated[
    NDArray[Any],
    PlainValidator(to_context),
    WithJsonSchema({"type": "array", "items": {}, "description": "numbers, or names of classes"}),
]
"""A field that takes numbers and names, and leaves to the model what they mean."""
