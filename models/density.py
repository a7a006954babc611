"""The interface of all that has log_prob and sample: flows, and densities that are no bijection."""

from abc import ABC, abstractmethod
from itertools import chain

import torch
from torch import Tensor, nn

from models.bijection import Cost, Shape


class Density(nn.Module, ABC):
    """A density over rows of data, with latents from which rows follow.

    log_prob is in nats with respect to Lebesgue measure or, where values are discrete, counting
    measure. Latents of data are distributed as those that `sample` decodes.
    """

    @property
    @abstractmethod
    def event_shape(self) -> Shape:
        """Shape of one row of data."""

    @property
    @abstractmethod
    def latent_shape(self) -> Shape:
        """Shape of one row of latents."""

    @property
    @abstractmethod
    def context_shape(self) -> Shape | None:
        """Shape of one row of raw context, as callers pass it; None if there is none."""

    @property
    @abstractmethod
    def encode_cost(self) -> Cost:
        """The cost of encoding and of log_prob."""

    @property
    @abstractmethod
    def decode_cost(self) -> Cost:
        """The cost of decoding and sampling."""

    @property
    def like(self) -> Tensor:
        """A tensor of the density, which tells its networks' number type and device."""
        return next(t for t in chain(self.parameters(), self.buffers()) if t.is_floating_point())

    @abstractmethod
    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Batch × event shape, batch × context shape → z, batch × latent shape; log p(x), batch.

        A row outside the support has log p(x) = −inf and z = NaN.
        """

    @abstractmethod
    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Batch × latent shape, batch × context shape → x, batch × event shape; log p(x), batch."""

    @abstractmethod
    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats: batch × event shape → batch; −inf outside the support."""

    def prepare(self, x: Tensor) -> Tensor:
        """What `log_prob` computes of the rows alone: batch × event shape → batch × numbers.

        It depends on no parameter, so that a training prepares its rows once.
        """
        return x

    def log_prob_prepared(self, prepared: Tensor, context: Tensor | None = None) -> Tensor:
        """The same as `log_prob`, to the last digit, of rows that `prepare` has prepared."""
        return self.log_prob(prepared, context)

    @abstractmethod
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n rows: x, n × event shape; log p(x), n, in nats."""
