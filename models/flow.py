"""A normalizing flow: a base distribution and a bijection."""

import torch
from torch import Tensor

from models.bijection import Bijection, Cost, Shape
from models.context import ContextFeatures
from models.density import Density
from models.distributions import Base


class Flow(Density):
    """Exact density and sampler: log p(x) = log p_Z(encode(x)) + log|det ∂z/∂x|.

    Args:
        base: density of the latents.
        bijection: the map between data and latents.
        context: the map from raw context to the features that the bijection reads; None if there
            is no context, or the bijection reads it unchanged.

    Raises:
        ValueError: the latent shape of the bijection is not that of the base, or its context shape
            is not the number of features.
    """

    def __init__(
        self, base: Base, bijection: Bijection, context: ContextFeatures | None = None
    ) -> None:
        super().__init__()
        if base.event_shape != bijection.latent_shape:
            raise ValueError(
                f"the base has shape {base.event_shape}, the latents {bijection.latent_shape}"
            )
        if context is not None and bijection.context_shape != (context.size,):
            raise ValueError(
                f"the context has {context.size} features, the bijection takes a context of shape "
                f"{bijection.context_shape}"
            )
        self.base = base
        self.bijection = bijection
        self.features = context

    @property
    def event_shape(self) -> Shape:
        """Shape of one row of data."""
        return self.bijection.event_shape

    @property
    def latent_shape(self) -> Shape:
        """Shape of one row of latents."""
        return self.bijection.latent_shape

    @property
    def encode_cost(self) -> Cost:
        """The cost of encoding and of log_prob."""
        return self.bijection.encode_cost

    @property
    def decode_cost(self) -> Cost:
        """The cost of decoding and sampling."""
        return self.bijection.decode_cost

    @property
    def context_shape(self) -> Shape | None:
        """Shape of one row of raw context, as callers pass it; None if there is none."""
        if self.features is None:
            return self.bijection.context_shape
        return self.features.context_shape

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialize the parameters that depend on data; once, before training.

        Args:
            x: batch × event shape, inside the support.
            context: batch × context shape, exactly when the flow has one.
        """
        with torch.no_grad():
            self.bijection.initialize_from_data(x, self.featurize(context))

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents.

        Args:
            x: batch × event shape.
            context: batch × context shape, exactly when the flow has one.

        Returns:
            z: batch × latent shape; log p(x): batch, in nats. A row outside a bounded support
            has log p(x) = −inf and z = NaN.
        """
        context = self.featurize(context)
        support = self.bijection.support
        if support is None:
            z, log_det = self.bijection.encode(x, context)
            return z, self.base.log_prob(z) + log_det
        low, high = support
        inside = (x > low) & (x < high)
        # values outside are replaced by the middle first, so that nothing is computed with NaN
        z, log_det = self.bijection.encode(torch.where(inside, x, 0.5 * (low + high)), context)
        row_inside = inside.flatten(1).all(1)
        log_prob = torch.where(row_inside, self.base.log_prob(z) + log_det, -torch.inf)
        return torch.where(row_inside.view(-1, *[1] * (z.ndim - 1)), z, torch.nan), log_prob

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latents to data.

        Args:
            z: batch × latent shape.
            context: batch × context shape, exactly when the flow has one.

        Returns:
            x: batch × event shape; log p(x): batch, in nats.
        """
        x, log_det = self.bijection.decode(z, self.featurize(context))
        return x, self.base.log_prob(z) - log_det

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of data in nats: batch × event shape → batch; −inf outside the support."""
        return self.encode(x, context)[1]

    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw n rows.

        Args:
            n: number of rows.
            context: n × context shape, exactly when the flow has one.
            generator: source of the noise, on the CPU; torch's default generator if left out.

        Returns:
            x: n × event shape; log p(x): n, in nats.
        """
        return self.decode(self.base.sample(n, generator).to(self.like), context)

    def featurize(self, context: Tensor | None) -> Tensor | None:
        """The features of a context that the bijection reads: batch × context shape → features."""
        return context if self.features is None else self.features(context)
