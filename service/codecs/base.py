"""The formats that bodies and answers travel in: which is meant, and how it is read and written."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.responses import Response

from service.codecs import arrow, json, npy, wav
from service.errors import (
    InvalidInputError,
    NotAcceptableError,
    UnsupportedMediaTypeError,
    readable,
)
from service.operations import Answer, FlowRequest
from service.store import Model
from service.types import Arrays

R = TypeVar("R", bound=FlowRequest)

# curl -d says urlencoded unless told otherwise, and means JSON
JSON_TYPES = ("", json.TYPE, "application/x-www-form-urlencoded")
BINARY_TYPES = (npy.TYPE, arrow.TYPE)

NO_ROWS = f"{wav.TYPE} holds x, of the questions that answer with x"


def parse(schema: type[R], content_type: str, body: bytes, query: dict[str, str]) -> R:
    """A request from its body and its query string.

    Raises:
        MalformedBodyError: a body that is not of its type.
        UnsupportedMediaTypeError: a type that is not read.
        InvalidInputError: values that make no sense.
    """
    if content_type in BINARY_TYPES or not body:
        content: dict[str, Any] = dict(query)
        if "context" in query:
            content["context"] = np.array(query["context"].split(","))
        fields = _binary_fields(schema, content_type, body) if body else {}
        if twice := sorted(content.keys() & fields.keys()):
            raise InvalidInputError(f"{', '.join(twice)}: in the body, and in the URL as well")
        content |= fields
        strict = False  # a query string holds only strings
    elif content_type in JSON_TYPES:
        if query:
            raise InvalidInputError(
                f"with a JSON body, {sorted(query)} go in the body, not in the URL"
            )
        content, strict = json.parse(body), True
    else:
        expected = ", ".join((json.TYPE, *BINARY_TYPES))
        raise UnsupportedMediaTypeError(f"expected one of {expected}, got {content_type}")
    try:
        return schema.model_validate(content, strict=strict)
    except ValidationError as error:
        raise InvalidInputError("; ".join(map(readable, error.errors()))) from None


def _binary_fields(schema: type[FlowRequest], content_type: str, body: bytes) -> dict[str, Any]:
    """What a binary body holds: rows, and in a table the context beside them."""
    names, fields = schema.npy_fields, {}
    if content_type == arrow.TYPE:
        table = arrow.parse(body)
        if "context" in table and names != ("context",):
            fields["context"] = table.pop("context")
        rows = _rows(table, "x" if len(names) > 1 else names[0])
    else:
        rows = npy.parse(body)
    if len(names) == 1:
        return fields | {names[0]: rows}
    if rows.ndim == 0 or len(rows) != len(names):
        raise InvalidInputError(
            f"expected {len(names)} × event shape (the rows {', '.join(names)}), got shape "
            f"{rows.shape}"
        )
    return fields | dict(zip(names, rows, strict=True))


def _rows(table: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """The column of that name, or all columns side by side."""
    if name in table:
        if len(table) > 1:
            others = ", ".join(sorted(table.keys() - {name}))
            raise InvalidInputError(f"the table has a column {name!r}, and also {others}")
        return table[name]
    if wide := [column for column, values in table.items() if values.ndim > 1]:
        raise InvalidInputError(
            f"expected a column {name!r} of lists, or columns of single numbers; {wide[0]!r} is "
            "of lists"
        )
    return np.stack(list(table.values()), axis=1)


def accepted(accept: str, content_type: str) -> str:
    """The type of the answer: one that is accepted; where several are, that of the request."""
    named = [kind for kind in (json.TYPE, *BINARY_TYPES, wav.TYPE) if kind in accept]
    if len(named) == 1:
        return named[0]
    return content_type if content_type in BINARY_TYPES else json.TYPE


def check_acceptable(kind: str, model: Model, output: str | None) -> None:
    """See that a model's answers can be of a type.

    Args:
        kind: the type.
        model: which answers.
        output: the one array wanted, if the request names one.

    Raises:
        NotAcceptableError: a sound is wanted of rows that are none, or of what is not rows.
    """
    if kind == wav.TYPE and model.manifest.sound is None:
        raise NotAcceptableError(f"{wav.TYPE}: rows of {model.manifest.name} are no sounds")
    if kind == wav.TYPE and output not in (None, "x"):
        raise NotAcceptableError(NO_ROWS)


def respond(kind: str, model: Model, answer: Answer, output: str | None) -> Response:
    """An answer as a response of that type.

    Args:
        kind: the type.
        model: which answered.
        answer: its arrays.
        output: the one array wanted; where None, npy holds the first, other types all.

    Raises:
        NotAcceptableError: a sound is wanted of an answer without x.
    """
    if kind == wav.TYPE:
        if "x" not in answer.arrays:
            raise NotAcceptableError(NO_ROWS)
        assert model.manifest.sound is not None  # as `check_acceptable` saw
        content = wav.dump(answer.arrays["x"], model.manifest.sound)
        return Response(content, media_type=kind, headers=headers(model, answer.seed))
    arrays = answer.arrays if output is None else {output: answer.arrays[output]}
    if kind == npy.TYPE:
        content = npy.dump(next(iter(arrays.values())))
        return Response(content, media_type=kind, headers=headers(model, answer.seed))
    if kind == arrow.TYPE:
        table = writer(arrays, model, answer.seed)
        content = table.piece(arrays) + table.end()
        return Response(content, media_type=kind, headers=headers(model, answer.seed))
    said = {"model": model.manifest.name, "version": model.manifest.version, **answer.arrays}
    if answer.seed is not None:
        said["seed"] = answer.seed
    return Response(json.dump(said), media_type=kind)


def writer(arrays: Arrays, model: Model, seed: int | None) -> arrow.Writer:
    """Of a table of such arrays."""
    metadata = {"model": model.manifest.name, "version": str(model.manifest.version)}
    if seed is not None:
        metadata["seed"] = str(seed)
    return arrow.Writer({name: values.shape[1:] for name, values in arrays.items()}, metadata)


def headers(model: Model, seed: int | None) -> dict[str, str]:
    """What a binary answer says beside its arrays."""
    said = {
        "X-Bijecta-Model": model.manifest.name,
        "X-Bijecta-Version": str(model.manifest.version),
    }
    return said if seed is None else said | {"X-Bijecta-Seed": str(seed)}
