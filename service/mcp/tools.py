"""The tools of language models: each is one request to a native route, with fewer rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import InvalidInputError, TooLargeError, shown
from service.operations import ENSEMBLE_REQUESTS, FLOW_OPERATIONS, TABLE_REQUESTS

MAX_ROWS = 1000
"""Of a call, asked or answered: a language model reads every number of them."""

VALUE = {"type": ["number", "string", "boolean", "null"]}
ROWS = {
    "rows": {
        "type": "array",
        "maxItems": MAX_ROWS,
        "items": {"type": "object", "additionalProperties": VALUE},
        "description": "of a model of typed columns: rows by column name, in place of x",
    },
    "columns": {
        "type": "object",
        "additionalProperties": {
            "type": "array",
            "maxItems": MAX_ROWS,
            "items": VALUE,
        },
        "description": "the same, column by column",
    },
}

DESCRIPTIONS = {
    "log_prob": "Exact log-density of each row, in nats: larger is more likely under the model.",
    "score": "How anomalous each row is to a detector: its score, where larger is more anomalous, "
    "its p-value, and whether it is an anomaly at `alpha` or at the false-discovery rate `fdr`; "
    "with `reasons`, which columns make it so.",
    "sample": "Rows drawn from a model, with their log-densities. The same seed draws the same.",
}

MODELS = "models"


@dataclass(frozen=True)
class ToolRequest:
    """A request to a native route.

    Args:
        method: GET or POST.
        path: of the route.
        body: JSON, or nothing.
    """

    method: str
    path: str
    body: bytes


def described_tools() -> list[dict[str, Any]]:
    """Name, description and schema of the arguments of every tool."""
    models = {
        "name": MODELS,
        "description": "The models that this server has, with their columns or shapes; with "
        "`model`, everything that is known of one.",
        "schema": {
            "type": "object",
            "properties": {"model": {"type": "string", "description": "NAME, or NAME@ALIAS"}},
            "additionalProperties": False,
        },
    }
    return [models] + [
        {"name": name, "description": text, "schema": _schema(name)}
        for name, text in DESCRIPTIONS.items()
    ]


def _schema(name: str) -> dict[str, Any]:
    """The arguments of an operation: those of flows, typed columns and ensembles together.

    Clients want an object at the top. What goes with what the route says.
    """
    (operation,) = (each for each in FLOW_OPERATIONS if each.name == name)
    requests = [operation.request]
    kinds = (TABLE_REQUESTS, ENSEMBLE_REQUESTS)
    requests += [kind[operation.request] for kind in kinds if operation.request in kind]
    properties: dict[str, Any] = {}
    for request in requests:
        for field, schema in request.model_json_schema()["properties"].items():
            properties.setdefault(field, dict(schema))
    if "x" in properties:
        properties["x"]["maxItems"] = MAX_ROWS
        properties |= ROWS
    if "n" in properties:
        properties["n"]["maximum"] = MAX_ROWS
    return {"type": "object", "properties": properties, "additionalProperties": False}


def request_of(name: str, arguments: Mapping[str, Any]) -> ToolRequest:
    """The request that a call of a tool is.

    Raises:
        InvalidInputError: there is no such tool, or `models` is asked for something else.
        TooLargeError: more rows than a call may have.
    """
    if name == MODELS:
        if unknown := arguments.keys() - {"model"}:
            raise InvalidInputError(f"models: {shown(min(unknown))} is not known here")
        model = arguments.get("model")
        if model is None:
            return ToolRequest("GET", "/models", b"")
        if not isinstance(model, str) or not model or "/" in model:
            raise InvalidInputError(f"model: expected a name, got {shown(model)}")
        return ToolRequest("GET", f"/models/{model}", b"")
    if name not in DESCRIPTIONS:
        known = ", ".join([MODELS, *DESCRIPTIONS])
        raise InvalidInputError(f"there is no tool {shown(name)}: there are {known}")
    for field, rows in _rows(arguments).items():
        if rows > MAX_ROWS:
            raise TooLargeError(
                f"{field}: {rows} rows are more than the {MAX_ROWS} of a call; POST /{name} takes "
                "more"
            )
    return ToolRequest("POST", f"/{name}", json.dumps(arguments).encode())


def _rows(arguments: Mapping[str, Any]) -> dict[str, int]:
    """How many rows the arguments have, by field; the route says what is wrong with them."""
    found = {f: len(v) for f in ("x", "rows") if isinstance(v := arguments.get(f), list)}
    if isinstance(columns := arguments.get("columns"), dict):
        found["columns"] = max((len(v) for v in columns.values() if isinstance(v, list)), default=0)
    if isinstance(n := arguments.get("n"), int):
        found["n"] = n
    return found
