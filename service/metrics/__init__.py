"""Prometheus metrics of one server."""

from service.metrics.metrics import OTHER, Metrics

__all__ = [
    "OTHER",
    "Metrics",
]
