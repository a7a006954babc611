"""Arrays as the bodies of requests, in parts, and answers as arrays.

They are those of the Open Inference Protocol v2 with binary tensors: JSON, and behind it the values
of each array, little-endian and row-major; a text is a length of four bytes and UTF-8.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client.answers import Numbers
from bijecta_client.errors import RefusedError, UnreadableError

LENGTH = "inference-header-content-length"

# Of the numbers of rows and answers: flows have the one, tables the other.
WIDTHS: dict[str, np.dtype[Any]] = {"FP32": np.dtype(np.float32), "FP64": np.dtype(np.float64)}
DATATYPES = {dtype: name for name, dtype in WIDTHS.items()} | {np.dtype(np.int64): "INT64"}
DTYPES = WIDTHS | {"BOOL": np.dtype(np.bool_), "INT64": np.dtype(np.int64)}

# Outputs of which a row has one.
ONE_OF_A_ROW = {"log_prob", "quantile", "score", "p_value", "anomaly"} | {
    "member",
    "member_std",
    "member_min",
    "member_max",
}

# Most bytes of rows in a request: half of what a server takes unless it is told otherwise.
MOST_BYTES = 2**25


def to_json(content: Mapping[str, Any]) -> bytes:
    """A JSON object that may hold numbers and arrays of numpy."""
    return json.dumps(content, default=_as_python).encode()


def numbers(name: str, array: ArrayLike) -> Numbers:
    """An array of numbers as float32 or float64, whichever keeps its digits."""
    try:
        values = np.asarray(array)
    except ValueError:
        raise ValueError(f"{name}: its rows differ in their number of values") from None
    if values.dtype.kind not in "fiu":  # numpy would read text, and count truths
        raise TypeError(f"{name}: expected an array of numbers, its dtype is {values.dtype}")
    is_single = values.dtype.kind == "f" and values.dtype.itemsize <= 4
    kept: Numbers = np.asarray(values, np.float32 if is_single else np.float64, order="C")
    return kept


def narrowed(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Inputs with float32 in place of float64; the server says which it does not like."""
    with np.errstate(over="ignore"):
        return {
            name: values.astype(np.float32) if values.dtype == np.float64 else values
            for name, values in inputs.items()
        }


def is_narrower(sent: Mapping[str, NDArray[Any]], inputs: Mapping[str, NDArray[Any]]) -> bool:
    """Whether digits of inputs were cut when they were sent."""
    return any(not np.array_equal(sent[name], values) for name, values in inputs.items())


def inputs(arrays: Mapping[str, ArrayLike | None]) -> dict[str, NDArray[Any]]:
    """The arrays of a request: a context, if any, as it may be; rows as numbers; n as it is."""
    converted: dict[str, NDArray[Any]] = {}
    for name, values in arrays.items():
        if values is None:
            continue
        if name == "n":
            converted[name] = np.asarray(values)
        else:
            converted[name] = _context(values) if name == "context" else numbers(name, values)
    return converted


def parts(
    inputs: Mapping[str, NDArray[Any]], most: int | None
) -> Iterator[tuple[int, int, dict[str, NDArray[Any]]]]:
    """Inputs in parts of at most so many rows: where each begins, its rows, its inputs.

    The first input is the one whose rows count.

    Raises:
        RefusedError: a context has neither one row nor as many.
    """
    name, rows = next(iter(inputs.items()))
    n = len(rows) if rows.ndim else 1
    size = n if most is None else min(most, MOST_BYTES * n // max(rows.nbytes, 1))
    if n <= max(size, 1):
        yield 0, n, dict(inputs)
        return
    starts = range(0, n, max(size, 1))
    for start in starts:
        stop = min(start + starts.step, n)
        part = {name: rows[start:stop]}
        if "member" in inputs:
            part["member"] = inputs["member"][start:stop]
        if "context" in inputs:
            part["context"] = context_of_part(inputs["context"], n, start, stop)
        yield start, stop - start, part


def context_of_part(context: NDArray[Any], n: int, start: int, stop: int) -> NDArray[Any]:
    """The context of some of n rows: of each its own, or of all the one row that is for all.

    As many values as rows are one for each, of a context of one column.

    Args:
        context: of one axis at least.
        n: rows in all.
        start, stop: the first of the part, and the first behind it.

    Raises:
        RefusedError: it has neither one row nor n.
    """
    if stop - start == n:
        return context  # the server says what is wrong with it
    if len(context) == n:
        return context[start:stop]
    if context.ndim > 1 and len(context) != 1:
        # a part may have as many rows by chance, and would be answered
        raise RefusedError(
            f"context: expected {n} rows, or one row for all, got shape {context.shape}"
        )
    return context if context.ndim > 1 else context[None]  # so that it is a row of one part too


def _context(values: ArrayLike) -> NDArray[Any]:
    """Numbers; text where a class among them goes by its name; of one value a row of one."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return np.atleast_1d(numbers("context", values))
    # as objects first: numpy would cut the digits of numbers beside text
    objects = np.atleast_1d(np.asarray(values, object))
    if any(isinstance(value, str) for value in objects.flat):
        return np.array([str(value) for value in objects.flat]).reshape(objects.shape)
    return np.atleast_1d(numbers("context", values))


def pack(
    inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], parameters: Mapping[str, Any]
) -> tuple[bytes, int]:
    """A request for binary outputs, and how many of its bytes are JSON.

    Args:
        inputs: whole numbers of 64 bits, text, float32 or float64.
        outputs: which are wanted.
        parameters: of the request.
    """
    described, tail = [], []
    for name, values in inputs.items():
        datatype, content = _content(values)
        described.append(
            {
                "name": name,
                "datatype": datatype,
                "shape": list(values.shape),
                "parameters": {"binary_data_size": len(content)},
            }
        )
        tail.append(content)
    head = {
        "inputs": described,
        "outputs": [{"name": name} for name in outputs],
        "parameters": {**parameters, "binary_data_output": True},
    }
    text = to_json(head)
    return b"".join([text, *tail]), len(text)


def unpack(content: bytes, length: int) -> tuple[dict[str, Any], dict[str, Numbers]]:
    """The JSON of an answer, and its arrays by name, which are free to be written to.

    Args:
        content: of the answer.
        length: how many bytes of it are JSON.

    Raises:
        ValueError: it is no answer of the protocol, or its lengths are not those it states; of a
            member that it lacks, or that is of another type, one of `MALFORMED`.
    """
    head = json.loads(content[:length])
    arrays: dict[str, Numbers] = {}
    for output in head["outputs"]:
        name, shape = output["name"], output["shape"]
        size = output["parameters"]["binary_data_size"]
        dtype = DTYPES.get(output["datatype"])
        if dtype is None or size != dtype.itemsize * prod(shape):
            raise ValueError(f"{name}: {size} bytes for {output['datatype']} of shape {shape}")
        values = np.frombuffer(content[length : length + size], dtype.newbyteorder("<"))
        arrays[name] = values.reshape(shape).astype(dtype)
        length += size
    if length != len(content):
        raise ValueError(f"{len(content) - length} bytes belong to no output")
    if not isinstance(head.get("parameters") or {}, dict):
        raise TypeError(f"parameters: expected an object, got {head['parameters']!r:.80}")
    return head, arrays


def check_rows(outputs: Mapping[str, Any], n: int) -> None:
    """See that an answer has as many rows as were asked for."""
    for name, values in outputs.items():
        shape = np.shape(values) if isinstance(values, np.ndarray) else (len(values),)
        if shape[:1] != (n,) or (name in ONE_OF_A_ROW and len(shape) > 1):
            raise UnreadableError(f"{name}: expected {n} rows, got shape {shape}", 200)


def joined(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers to parts as one."""
    if len(answers) == 1:
        return dict(answers[0])
    return {
        name: [row for answer in answers for row in answer[name]]
        if isinstance(answers[0][name], list)
        else np.concatenate([answer[name] for answer in answers])
        for name in answers[0]
    }


def _as_python(value: Any) -> Any:
    """Numbers and arrays of numpy, which JSON does not know."""
    return value.tolist()


def _content(values: NDArray[Any]) -> tuple[str, bytes]:
    """The datatype and the bytes of an array."""
    if values.dtype.kind == "U":
        texts = [text.encode() for text in values.ravel().tolist()]
        return "BYTES", b"".join(len(t).to_bytes(4, "little") + t for t in texts)
    return DATATYPES[values.dtype], values.astype(
        values.dtype.newbyteorder("<"), copy=False
    ).tobytes()
