"""Rows of many features as the flows of a part see them."""

import torch
from torch import Tensor, nn

# A flow sees so many features as they are, and of more principal directions.
MAX_FEATURES = 200

# Directions are of so many rows at most, and of each direction so many.
MAX_ROWS = 1500
ROWS_PER_DIRECTION = 4


class Principal(nn.Module):
    """N × F → N × size: the features; or principal directions and the length of what they leave.

    Each member has directions of its own, of rows that it saw: what directions leave of their own
    rows is less than what they leave of others (of 100 rows and 250 features nothing), and scores
    of rows that took part would not be those of new rows.

    Args:
        features: F.
        members: their number.
        directions: number of directions, where there are more than `MAX_FEATURES` features.
    """

    center: Tensor
    directions: Tensor

    def __init__(self, features: int, members: int, directions: int) -> None:
        super().__init__()
        self.reduces = features > MAX_FEATURES
        self.size = directions + 1 if self.reduces else features
        shape = (members, features, directions) if self.reduces else (0, 0)
        self.register_buffer("center", torch.zeros(shape[:-1]).double())
        self.register_buffer("directions", torch.zeros(shape).double())

    def fit(self, member: int, x: Tensor) -> None:
        """Take the directions of a member from rows that it saw, in random order: N × F."""
        if not self.reduces:
            return
        x = x[:MAX_ROWS]
        self.center[member] = x.mean(0)
        centered = x - self.center[member]
        _, axes = torch.linalg.eigh(centered.T @ centered / len(x))
        self.directions[member] = axes.flip(1)[:, : self.directions.shape[2]]

    def forward(self, member: int, x: Tensor) -> Tensor:
        """Rows as the flow of a member sees them."""
        if not self.reduces:
            return x
        centered = x - self.center[member]
        along = centered @ self.directions[member]
        left = centered.square().sum(1, keepdim=True) - along.square().sum(1, keepdim=True)
        return torch.cat([along, left.clamp(min=0.0).sqrt()], 1)


def directions_of(rows: int, most: int) -> int:
    """How many directions so many rows determine."""
    return max(1, min(most, min(rows, MAX_ROWS) // ROWS_PER_DIRECTION))
