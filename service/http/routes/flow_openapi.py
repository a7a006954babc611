"""What /docs shows of the questions to a flow: bodies and answers, those of tables among them."""

from collections.abc import Sequence
from typing import Any

from service.codecs import CODECS, CSV_TYPE, JSON_TYPE
from service.http.routes.flow import FlowRoute
from service.http.routes.infer_openapi import NATIVE_ERRORS
from service.operations import ENSEMBLE_REQUESTS, TABLE_REQUESTS, FlowRequest, TableRequest

OUTPUT_PARAMETER = {
    "name": "output",
    "in": "query",
    "description": "the one array to answer with",
    "schema": {"type": "string"},
}

VALUE: dict[str, Any] = {
    "type": ["number", "string", "boolean", "null"],
    "description": "of its column's own kind: a number, a class, a time as text; null for none",
}
RECORD = {"type": "object", "additionalProperties": VALUE}
EXAMPLE = {"amount": 12.5, "country": "DE", "seen": "2024-02-29", "age": None}
ROWS = {"type": "array", "items": RECORD, "examples": [[EXAMPLE]]}
COLUMNS = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": VALUE},
    "examples": [{name: [value] for name, value in EXAMPLE.items()}],
}
REASONS = {
    "type": "array",
    "description": "of each row, where they are asked for: the columns that raise its score",
    "examples": [[[{"column": "amount", "value": 950.0, "expected": [12.5, 13.0], "share": 0.8}]]],
}
CSV = {
    "schema": {
        "type": "string",
        "description": "a header of the columns' names, in any order; an empty cell is no value",
        "examples": ["amount,country,seen,age\r\n12.5,DE,2024-02-29,\r\n"],
    }
}
BINARY = {"schema": {"type": "string", "format": "binary"}}
CODES = (
    "A model of typed columns answers `x` as numbers: of a class its place among the `classes` of "
    "its column in `GET /models/NAME`, counted from 0, and of a time seconds since 1970 in UTC. It "
    "answers `rows`, values of each column's own kind by name, in place of them with `records` "
    "(`/decode`, `/sample`), or where `start` and `end` are such objects (`/interpolate`)."
)
"""What is to be known of operations that answer rows, beside their summary."""


def openapi_paths(routes: Sequence[FlowRoute[Any]]) -> dict[str, Any]:
    """OpenAPI paths of routes."""
    return {
        f"/{route.name}": {
            "post": {
                "tags": ["flow"],
                "summary": (route.operation.answer.__doc__ or "").partition("\n")[0],
                **({"description": CODES} if "x" in route.operation.request.outputs else {}),
                "operationId": route.name,
                "parameters": [OUTPUT_PARAMETER],
                "requestBody": {"content": _bodies(route.operation.request)},
                "responses": {
                    "200": {
                        "description": "the answer",
                        "content": _answers(route.operation.request),
                    },
                    **NATIVE_ERRORS,
                },
            }
        }
        for route in routes
    }


def _bodies(schema: type[FlowRequest]) -> dict[str, Any]:
    """What the body of a request may be."""
    types = [codec.media_type for codec in CODECS if codec.body_types]
    content = {kind: CSV if kind == CSV_TYPE else BINARY for kind in types}
    bodies = _json_bodies(schema)
    return content | {JSON_TYPE: {"schema": bodies[0] if len(bodies) == 1 else {"anyOf": bodies}}}


def _json_bodies(schema: type[FlowRequest]) -> list[dict[str, Any]]:
    """The request to a flow and, where they are asked too, to typed columns and to an ensemble."""
    if issubclass(schema, TableRequest):
        return [_named(schema)]
    bodies = [schema.model_json_schema()]
    if schema in TABLE_REQUESTS:
        bodies.append(_named(TABLE_REQUESTS[schema]))
    if schema in ENSEMBLE_REQUESTS:
        bodies.append(ENSEMBLE_REQUESTS[schema].model_json_schema())
    return bodies


def _named(schema: type[FlowRequest]) -> dict[str, Any]:
    """A request whose rows may be given by name."""
    of_table: dict[str, Any] = schema.model_json_schema()
    fields = of_table["properties"]
    if "x" in fields:
        fields |= {"rows": ROWS, "columns": COLUMNS}
        others = [name for name in of_table["required"] if name != "x"]
        of_table["required"] = others
        of_table["oneOf"] = [{"required": [name]} for name in ("x", "rows", "columns")]
    for name in ("start", "end"):
        if name in fields:
            fields[name] = {"anyOf": [fields[name], RECORD]}
    return of_table


def _answers(schema: type[FlowRequest]) -> dict[str, Any]:
    """What the body of an answer may be."""
    array = {"type": "array", "description": "a row for each row of the question"}
    fields: dict[str, Any] = {"model": {"type": "string"}, "version": {"type": "integer"}}
    outputs = (*schema.outputs, *ENSEMBLE_REQUESTS.get(schema, schema).outputs)
    fields |= dict.fromkeys(outputs, array)
    if "score" in schema.outputs:
        fields["reasons"] = REASONS
    if "member" in outputs:
        fields["member"] = array | {"description": "of an ensemble: whose latent it is, or was"}
    if "x" in schema.outputs:
        fields["rows"] = ROWS | {"description": "in place of x, of typed columns with `records`"}
    as_json = {"schema": {"type": "object", "properties": fields}}
    content = {c.media_type: CSV if c.media_type == CSV_TYPE else BINARY for c in CODECS}
    return content | {JSON_TYPE: as_json}
