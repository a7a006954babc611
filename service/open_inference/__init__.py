"""The Open Inference Protocol v2, free of HTTP."""

from service.open_inference.admin import ModelRepository, server_metadata
from service.open_inference.infer import Inference
from service.open_inference.protocol import LENGTH_HEADER, InferenceRequest, parse_content
from service.open_inference.tensors import TEXT, datatype, to_bytes

__all__ = [
    "LENGTH_HEADER",
    "TEXT",
    "Inference",
    "InferenceRequest",
    "ModelRepository",
    "datatype",
    "parse_content",
    "server_metadata",
    "to_bytes",
]
