"""Rows of many features as a flow sees them."""

import torch
from torch import Tensor, nn

# A flow sees so many features as they are, and of more this many principal directions.
MAX_FEATURES, DIRECTIONS = 200, 100

# Directions are of so many rows at most.
MAX_ROWS = 1500


class Principal(nn.Module):
    """N × F → N × size: the features; or principal directions and the length of what they leave.

    Args:
        features: F.
    """

    center: Tensor
    directions: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.reduces = features > MAX_FEATURES
        count = DIRECTIONS if self.reduces else 0
        self.size = count + 1 if self.reduces else features
        self.register_buffer("center", torch.zeros(features if count else 0).double())
        self.register_buffer("directions", torch.zeros(features if count else 0, count).double())

    def fit(self, x: Tensor) -> None:
        """Take the directions from training rows: N × F."""
        if not self.reduces:
            return
        x = x[:MAX_ROWS]
        self.center.copy_(x.mean(0))
        _, axes = torch.linalg.eigh((x - self.center).T @ (x - self.center) / len(x))
        self.directions.copy_(axes.flip(1)[:, :DIRECTIONS])

    def forward(self, x: Tensor) -> Tensor:
        """Rows as the flow sees them."""
        if not self.reduces:
            return x
        centered = x - self.center
        along = centered @ self.directions
        left = centered.square().sum(1, keepdim=True) - along.square().sum(1, keepdim=True)
        return torch.cat([along, left.clamp(min=0.0).sqrt()], 1)
