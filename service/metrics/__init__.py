"""Prometheus metrics of one server."""

from service.metrics.metrics import Metrics

__all__ = ["Metrics"]
