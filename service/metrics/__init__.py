"""Prometheus metrics of one server."""

from service.metrics.metrics import OTHER, ConnectionMetrics, Metrics
from service.metrics.model_series import ModelSeries

__all__ = [
    "OTHER",
    "ConnectionMetrics",
    "Metrics",
    "ModelSeries",
]
