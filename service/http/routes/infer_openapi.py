"""What /docs shows of the Open Inference Protocol: its question, and what all of its errors are."""

from typing import Any

from service.codecs import BYTES_TYPE, JSON_TYPE, PROBLEM_TYPE
from service.open_inference import (
    DTYPES,
    LENGTH_HEADER,
    MAX_DIMENSIONS,
    MAX_NAME,
    MAX_PARAMETERS,
    MAX_TENSORS,
)

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {
            "type": "string",
            "description": "for people; the rows that it names are counted from 0",
        },
        "request_id": {"type": "string"},
    },
}
NATIVE_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "a problem document (RFC 9457)",
        "content": {PROBLEM_TYPE: {"schema": PROBLEM}},
    }
}
V2_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "what is wrong, in `error`",
        "content": {
            JSON_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                }
            }
        },
    }
}

NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "description": "not ready",
        "content": {
            JSON_TYPE: {"schema": {"type": "object", "properties": {"ready": {"const": False}}}}
        },
    }
}

NAME = {"type": "string", "maxLength": MAX_NAME}
PARAMETERS = {
    "type": "object",
    "maxProperties": MAX_PARAMETERS,
    "additionalProperties": {"type": ["string", "number", "boolean"]},
}
NAMED = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": NAME, "parameters": PARAMETERS},
}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": NAME,
        "shape": {
            "type": "array",
            "maxItems": MAX_DIMENSIONS,
            "items": {"type": "integer", "minimum": 0},
        },
        "datatype": {"enum": list(DTYPES)},
        "data": {"type": "array", "description": "row by row, nested or flat"},
        "parameters": PARAMETERS,
    },
}
QUESTION = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": NAME,
        "parameters": PARAMETERS,
        "inputs": {"type": "array", "minItems": 1, "maxItems": MAX_TENSORS, "items": TENSOR},
        "outputs": {"type": "array", "maxItems": MAX_TENSORS, "items": NAMED},
    },
}
ANSWER = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name", "shape"]}},
    },
}
BINARY = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": f"JSON of {LENGTH_HEADER} bytes, and tensors behind it",
    }
}


def _optional_body(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a route whose body may have one field."""
    schema = {"type": "object", "properties": {name: field}}
    return {"requestBody": {"required": False, "content": {JSON_TYPE: {"schema": schema}}}}


INDEX_BODY = _optional_body("ready", {"type": ["boolean", "null"]})
LOAD_BODY = _optional_body("parameters", {"type": ["object", "null"], "maxProperties": 0})


def infer_paths() -> dict[str, Any]:
    """OpenAPI paths of inference."""
    places = {
        "infer": (("name",), "a model"),
        "infer_version": (("name", "version"), "one version of a model"),
    }
    return {
        "/v2/models/" + "/versions/".join(f"{{{name}}}" for name in path) + "/infer": {
            "post": {
                "tags": ["open inference protocol"],
                "summary": f"Outputs of a graph of {whose} for some inputs",
                "operationId": operation,
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                    for name in path
                ],
                "requestBody": {
                    "required": True,
                    "content": {JSON_TYPE: {"schema": QUESTION}, BYTES_TYPE: BINARY},
                },
                "responses": {
                    "200": {
                        "description": "the outputs",
                        "content": {JSON_TYPE: {"schema": ANSWER}, BYTES_TYPE: BINARY},
                    },
                    **V2_ERRORS,
                },
            }
        }
        for operation, (path, whose) in places.items()
    }
