"""The Open Inference Protocol v2, free of HTTP."""

from service.open_inference.tensors import Parameters

__all__ = [
    "Parameters",
]
