"""Prometheus metrics of one server."""

from service.metrics.metrics import OTHER, ConnectionMetrics, Metrics

__all__ = [
    "OTHER",
    "ConnectionMetrics",
    "Metrics",
]
