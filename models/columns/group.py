"""Columns of the same structure, computed together: missing values, latents, constants."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from models.columns.places import Place, floored, log_add
from models.numerics import log_sigmoid


class ExactModule(nn.Module):
    """A module whose float64 constants stay in float64, whatever the network's number type is.

    Values such as 2^53 − 1 and their warps have more digits than float32.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = {
            name: buffer
            for name, buffer in self._buffers.items()
            if buffer is not None and buffer.dtype == torch.float64
        }
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in exact.items():
            moved = self._buffers[name]
            assert moved is not None
            self._buffers[name] = buffer.to(moved.device)
        return self


class ColumnGroup(ExactModule, ABC):
    """The conditionals of C columns of the same structure, and the features that others read.

    Values are N × C in float64, NaN where missing. theta are N × C × `size` parameters, in float64;
    at zero each column has its marginal distribution. A single column is computed where `column`,
    its number in the group, is given: C is then 1.

    Args:
        index: the columns' numbers in the row.
        size: parameters of each column's conditional, without those of missing values.
        inputs: features of each column, without those of missing values.
        missing_shares: the share of missing values of each column; None where none can be missing.
        floor: weight of the marginal in the probability of a missing value.
    """

    missing_share: Tensor
    columns: Tensor

    def __init__(
        self,
        index: Sequence[int],
        size: int,
        inputs: int,
        missing_shares: Sequence[float] | None,
        floor: float,
    ) -> None:
        super().__init__()
        self.index, self.floor = list(index), floor
        self.missing = missing_shares is not None
        self.size, self.inputs = size + self.missing, inputs + self.missing
        self.register_buffer("columns", torch.tensor(self.index), persistent=False)
        shares = torch.tensor(missing_shares or [0.5] * len(index), dtype=torch.float64)
        self.register_buffer("missing_share", shares, persistent=False)

    def log_prob(self, x: Tensor, theta: Tensor, column: int | None = None) -> Tensor:
        """Log-density of each value in nats, N × C; −inf outside the support."""
        value, absent, valid = self.checked(x, column)
        log_prob = self._log_prob(value, theta, column)
        if self.missing:
            log_missing, log_there = self._log_missing(theta, column)
            log_prob = torch.where(absent, log_missing, log_there + log_prob)
        return torch.where(valid, log_prob, -torch.inf)

    def encode(
        self, x: Tensor, u: Tensor, theta: Tensor, tolerance: float
    ) -> tuple[Tensor, Tensor]:
        """The logits of the places of values, and the values' log-densities in nats.

        Args:
            x: N × C.
            u: N × C, in (0, 1): the place of a discrete value's latent in its cell.
            theta: N × C × size.
            tolerance: relative error of probabilities (`Place.logit`).

        Returns:
            y: N × C, NaN outside the support; log-density: N × C, −inf outside the support.
        """
        value, absent, valid = self.checked(x, None)
        place, log_prob = self._place(value, theta)
        y = place.logit(u, tolerance)
        if self.missing:
            log_missing, log_there = self._log_missing(theta, None)
            log_prob = torch.where(absent, log_missing, log_there + log_prob)
            # The cell of missing values lies in the middle, so that the tails of the other values
            # are the tails of the latents. Rounding must not move a latent beside it into it.
            nudge = torch.where(y < 0, -tolerance, tolerance)
            y = torch.where(y.abs() < tolerance, nudge, y)
            outer = log_there + log_sigmoid(-y.abs())
            inner = log_add(log_there + log_sigmoid(y.abs()), log_missing)
            y = torch.where(y < 0, outer - inner, inner - outer)
            half = log_there - math.log(2)
            y = torch.where(absent, Place(half, half, log_missing).logit(u, tolerance), y)
        return torch.where(valid, y, torch.nan), torch.where(valid, log_prob, -torch.inf)

    def decode(self, y: Tensor, theta: Tensor, column: int | None = None) -> Tensor:
        """The values at the places of these logits: N × C, NaN where missing."""
        if not self.missing:
            return self._value(y, theta, column)
        _, log_there = self._log_missing(theta, column)
        half = log_there - math.log(2)
        side = log_sigmoid(-y.abs())
        # of the values that are there, P(less) or P(more), whichever is smaller
        share = (side - log_there).clamp(max=-math.log(2))
        inner = torch.log1p(-torch.exp(share)) - share
        x = self._value(torch.where(y < 0, -inner, inner), theta, column)
        return torch.where(side >= half, torch.nan, x)

    def features(self, x: Tensor, column: int | None = None) -> Tensor:
        """What the network reads of values: N × C × inputs."""
        value, absent, _ = self.checked(x, column)
        features = self._features(value, column)
        if not self.missing:
            return features
        flag = absent[..., None]
        return torch.cat([torch.where(flag, 0.0, features), flag.to(features.dtype)], -1)

    def checked(self, x: Tensor, column: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Values that are in the support everywhere; which are missing; which are in the support.

        Others are replaced first, so that nothing is computed with NaN.
        """
        absent = torch.isnan(x)
        typical = self._typical(column).expand_as(x)
        inside = self._inside(torch.where(absent, typical, x), column)
        value = torch.where(inside & ~absent, x, typical)
        return value, absent, inside if self.missing else inside & ~absent

    def _log_missing(self, theta: Tensor, column: int | None) -> tuple[Tensor, Tensor]:
        """Log-probabilities that values are missing, and that they are there: N × C each."""
        share = self._of(self.missing_share, column)
        log_missing, log_there = torch.log(share), torch.log1p(-share)
        logit = theta[..., -1] + (log_missing - log_there)
        return (
            floored(log_sigmoid(logit), log_missing, self.floor),
            floored(log_sigmoid(-logit), log_there, self.floor),
        )

    @staticmethod
    def _of(constant: Tensor, column: int | None) -> Tensor:
        """The constants of a column, or of all: C × …."""
        return constant if column is None else constant[column : column + 1]

    @abstractmethod
    def _typical(self, column: int | None) -> Tensor:
        """A value in the support of each column: C."""

    @abstractmethod
    def _inside(self, x: Tensor, column: int | None) -> Tensor:
        """Whether values are in the support."""

    @abstractmethod
    def _log_prob(self, x: Tensor, theta: Tensor, column: int | None) -> Tensor:
        """Log-density in nats of values that are in the support."""

    @abstractmethod
    def _place(self, x: Tensor, theta: Tensor, column: int | None = None) -> tuple[Place, Tensor]:
        """The places of values in their conditionals, and their log-densities in nats."""

    @abstractmethod
    def _value(self, y: Tensor, theta: Tensor, column: int | None) -> Tensor:
        """The values whose cells hold the points of logits y."""

    @abstractmethod
    def _features(self, x: Tensor, column: int | None) -> Tensor:
        """What the network reads of values that are there."""
