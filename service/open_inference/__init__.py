"""The Open Inference Protocol v2, free of HTTP."""

from service.open_inference.admin import ModelRepository, server_metadata
from service.open_inference.infer import Inference
from service.open_inference.protocol import LENGTH_HEADER

__all__ = [
    "LENGTH_HEADER",
    "Inference",
    "ModelRepository",
    "server_metadata",
]
