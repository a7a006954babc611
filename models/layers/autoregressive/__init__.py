"""Autoregressive layers: each value is mapped monotonically, given those before it."""

from models.layers.autoregressive.base import Autoregressive
from models.layers.autoregressive.causal import CausalAutoregressive
from models.layers.autoregressive.masked import MaskedAutoregressive
from models.layers.autoregressive.sequential_inverse import ONE_BLOCK_COORDINATES, Inverse
from models.layers.autoregressive.sweeps import COORDINATE_LIMIT, counted_sweeps
from models.layers.autoregressive.transformer import TransformerAutoregressive

__all__ = [
    "COORDINATE_LIMIT",
    "ONE_BLOCK_COORDINATES",
    "Autoregressive",
    "CausalAutoregressive",
    "Inverse",
    "MaskedAutoregressive",
    "TransformerAutoregressive",
    "counted_sweeps",
]
