"""JSON bodies and answers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pydantic_core

from service.errors import MalformedBodyError
from service.operations import named, numbers, truths

TYPE = "application/json"
PROBLEM = "application/problem+json"


def parse(body: bytes) -> dict[str, Any]:
    """A JSON object; lists of numbers, of whatever depth, are arrays already.

    Raises:
        MalformedBodyError: the body is not JSON, or not an object.
    """
    try:
        content = orjson.loads(body)
    except ValueError:
        content = _parse_slowly(body)
    if not isinstance(content, dict):
        raise MalformedBodyError(f"expected a JSON object, got {named(content)}")
    if truths(body, len(body)) == 0:
        for key, value in content.items():
            if type(value) is list and (array := numbers(value)) is not None:
                content[key] = array
    return content


def dump(content: Mapping[str, Any]) -> bytes:
    """JSON in which each float32 has its shortest exact digits, and −inf is null."""
    arrays = {
        k: np.ascontiguousarray(v) if isinstance(v, np.ndarray) else v for k, v in content.items()
    }
    return orjson.dumps(arrays, option=orjson.OPT_SERIALIZE_NUMPY)


def _parse_slowly(body: bytes) -> Any:
    """JSON with NaN, which is refused where it stands; or an error that says what is wrong."""
    try:
        return pydantic_core.from_json(body)
    except ValueError as error:
        raise MalformedBodyError(f"the body is not JSON: {error}") from None
