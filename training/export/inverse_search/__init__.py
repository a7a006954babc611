"""The fastest inverse of the autoregressive layers of a flow, by measurement."""

from training.export.inverse_search.request import (
    FASTEST,
    RESIDUAL,
    InverseRequest,
    inverse_request,
)
from training.export.inverse_search.search import Fastest, fastest

__all__ = ["FASTEST", "RESIDUAL", "Fastest", "InverseRequest", "fastest", "inverse_request"]
