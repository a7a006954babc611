"""Masked networks position by position as ONNX, and the inverses of their layers."""

from training.export.masked.inverse import defer, expand, is_deferred
from training.export.masked.network import NetworkWriter

__all__ = ["NetworkWriter", "defer", "expand", "is_deferred"]
