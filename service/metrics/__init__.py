"""Prometheus metrics of one server."""

from service.metrics.metrics import ConnectionMetrics, Metrics
from service.metrics.model_series import ModelSeries
from service.metrics.requests import OTHER, UNKNOWN_MODEL
from service.metrics.series import STAGES

__all__ = [
    "OTHER",
    "STAGES",
    "UNKNOWN_MODEL",
    "ConnectionMetrics",
    "Metrics",
    "ModelSeries",
]
