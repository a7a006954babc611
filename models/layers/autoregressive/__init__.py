"""Autoregressive layers: each value is mapped monotonically, given those before it."""

from models.layers.autoregressive.causal import CausalAutoregressive
from models.layers.autoregressive.masked import MaskedAutoregressive
from models.layers.autoregressive.sequential_inverse import (
    COORDINATE_LIMIT,
    ONE_BLOCK_COORDINATES,
    Inverse,
)
from models.layers.autoregressive.transformer import TransformerAutoregressive

__all__ = [
    "COORDINATE_LIMIT",
    "ONE_BLOCK_COORDINATES",
    "CausalAutoregressive",
    "Inverse",
    "MaskedAutoregressive",
    "TransformerAutoregressive",
]
