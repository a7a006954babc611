"""Prometheus metrics of one server."""

from service.metrics.metrics import Metrics, endpoint_label

__all__ = [
    "Metrics",
    "endpoint_label",
]
