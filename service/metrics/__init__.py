"""Prometheus metrics of one server."""

from service.metrics.gpus import GpuGauges
from service.metrics.log_probs import HeldOutLogProb
from service.metrics.metrics import ConnectionMetrics, Metrics
from service.metrics.model_series import ModelSeries
from service.metrics.requests import OTHER, UNKNOWN_MODEL
from service.metrics.series import STAGES
from service.metrics.server_state import ServerState
from service.metrics.workers import ProcessFigures, SharedFigures, WorkerGauges

__all__ = [
    "OTHER",
    "STAGES",
    "UNKNOWN_MODEL",
    "ConnectionMetrics",
    "GpuGauges",
    "HeldOutLogProb",
    "Metrics",
    "ModelSeries",
    "ProcessFigures",
    "ServerState",
    "SharedFigures",
    "WorkerGauges",
]
