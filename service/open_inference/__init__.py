"""The Open Inference Protocol v2, free of HTTP."""

from service.open_inference.admin import ModelRepository, server_metadata
from service.open_inference.infer import Inference
from service.open_inference.protocol import (
    LENGTH_HEADER,
    MAX_TENSORS,
    InferenceRequest,
    parse_content,
    plain_request,
)
from service.open_inference.tensors import (
    DTYPES,
    MAX_DIMENSIONS,
    MAX_NAME,
    MAX_PARAMETERS,
    TEXT,
    RawTensor,
    datatype,
    to_bytes,
)

__all__ = [
    "DTYPES",
    "LENGTH_HEADER",
    "MAX_DIMENSIONS",
    "MAX_NAME",
    "MAX_PARAMETERS",
    "MAX_TENSORS",
    "TEXT",
    "Inference",
    "InferenceRequest",
    "ModelRepository",
    "RawTensor",
    "datatype",
    "parse_content",
    "plain_request",
    "server_metadata",
    "to_bytes",
]
