"""Univariate maps by the CDF of a mixture, carried to the latents in log space.

F(x) = Σ wᵢ Fᵢ(x) is a mixture's CDF and y = logit F(x) = log F(x) − log(1 − F(x)) its value on the
logistic scale. Both logarithms are sums in log space of the components' own, so that no tail
underflows: points far outside are told apart as well as points in the middle.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from models.numerics.normal_logistic import log_sigmoid, logistic_from_normal, normal_from_logistic
from models.numerics.root_finding import find_root

# log-scales stay within this of where they start, by bound · tanh(raw / bound)
_BOUND = 4.0


class _Mixture(ABC):
    """A mixture's CDF from 3 · components unconstrained numbers: weights, means, log-scales.

    At zero parameters the components have equal weights and scales, and means spread like a
    logistic's quantiles: were the means equal, so would be their gradients, and stay so for ever.
    """

    normal: bool  # latents on the normal scale, not the logistic
    size: int

    def __init__(self, components: int, variance: float, scale: float) -> None:
        """Spread and scale the components so that the whole has the identity's variance.

        Args:
            components: how many.
            variance: of a component of scale one.
            scale: of each component where there are several, of a whole of scale one.

        Raises:
            ValueError: no component.
        """
        if components < 1:
            raise ValueError(f"a mixture has at least 1 component, got {components}")
        self.components, self.size = components, 3 * components
        whole = 1.0 if self.normal else math.pi**2 / 3
        if components == 1:
            scale = math.sqrt(whole / variance)
        self._log_scale = math.log(scale)
        quantiles = [math.log(i / (2 * components - i)) for i in range(1, 2 * components, 2)]
        spread = sum(q * q for q in quantiles) / components
        self._stretch = math.sqrt((whole - variance * scale**2) / spread) if spread else 0.0

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """x, theta (…, size) → z, log|dz/dx|."""
        y, log_slope = self._logit_cdf(x, *self._components(theta))
        if not self.normal:
            return y, log_slope
        z, log_normal = normal_from_logistic(y)
        return z, log_slope + log_normal

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, size) → x, log|dx/dz|, by a bracketed root (`find_root`)."""
        y, log_logistic = logistic_from_normal(z) if self.normal else (z, torch.zeros_like(z))
        components = self._components(theta)
        log_weight, mean, log_scale = components
        # all components' CDFs are below F(x) left of their lowest quantile, above right of the top
        quantile = mean + torch.exp(log_scale) * self._standard_quantile(z, y)[..., None]

        digit = torch.finfo(y.dtype).eps

        def logit_cdf(x: Tensor) -> tuple[Tensor, Tensor]:
            value, log_slope = self._logit_cdf(x, *components)
            # a flatter place says less about x than y's last digit: no step is worth more
            return value, torch.exp(log_slope).clamp(min=digit)

        x = find_root(
            logit_cdf,
            y,
            quantile.amin(-1),
            quantile.amax(-1),
            # of one component it is the root, of like components near it
            start=(torch.exp(log_weight) * quantile).sum(-1),
            # log F or log(1 − F) is as large as y, the other of the two of size 1 at most
            rounding=digit * (1 + y.abs()),
        )
        return x, log_logistic - self._logit_cdf(x, *components)[1]

    def _components(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-scales, each (…, components)."""
        weight, mean, raw = theta.chunk(3, -1)
        log_scale = self._log_scale + _BOUND * torch.tanh(raw / _BOUND)
        return F.log_softmax(weight, -1), mean + self._start(mean), log_scale

    def _start(self, like: Tensor) -> Tensor:
        """Means at zero parameters, computed: a constant cannot be exported inside a loop."""
        k = torch.arange(1, 2 * self.components, 2, dtype=like.dtype, device=like.device)
        return self._stretch * torch.log(k / (2 * self.components - k))

    def _logit_cdf(
        self, x: Tensor, log_weight: Tensor, mean: Tensor, log_scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give y = logit F(x) and log dy/dx."""
        y, log_slope = self._logit_component((x[..., None] - mean) * torch.exp(-log_scale))
        log_below, log_above = log_sigmoid(y), log_sigmoid(-y)
        below, above = log_weight + log_below, log_weight + log_above
        # dy/dx = d log F/dx − d log(1−F)/dx, both means of positive slopes over the components,
        # which cancel nothing; f/(F(1−F)) would lose all digits in the tails
        parts = [F.log_softmax(below, -1) + log_above, F.log_softmax(above, -1) + log_below]
        slopes = torch.cat([part + (log_slope - log_scale) for part in parts], -1)
        return below.logsumexp(-1) - above.logsumexp(-1), slopes.logsumexp(-1)

    @abstractmethod
    def _logit_component(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Standardized x → logit of a component's CDF, and its log-derivative."""

    @abstractmethod
    def _standard_quantile(self, z: Tensor, y: Tensor) -> Tensor:
        """Where a component of mean 0 and scale 1 takes the latent z, y on the logistic scale."""


class LogisticMixture(_Mixture):
    """z = logit F(x), F a mixture of logistics (Ho et al. 2019, Flow++, eq. 12).

    Its tails are linear. With `normal`, z = Φ⁻¹(F(x)), whose latents of data from such a mixture
    are exactly normal: the marginal map of Gaussianization, in float32 good beyond 9σ.

    At zero parameters and 8 components it stays within 0.12 of the identity for |x| ≤ 3.

    Args:
        components: how many; theta holds 3 for each.
        normal: latents on the normal scale instead of the logistic.

    Raises:
        ValueError: no component.
    """

    def __init__(self, components: int = 8, normal: bool = False) -> None:
        self.normal = normal
        # narrower for the normal scale, whose tails many broad logistics would miss
        super().__init__(components, variance=math.pi**2 / 3, scale=0.4 if normal else 0.8)

    def fit(self, x: Tensor) -> Tensor:
        """Parameters of mixtures with a component at each of as many quantiles of the data.

        Args:
            x: N × D.

        Returns:
            theta: D × size. Each component is as wide as the quantiles about it lie apart.
        """
        count = self.components
        at = (torch.arange(count) + 0.5) / count
        quantile = torch.quantile(x.double(), at.to(x.device).double(), dim=0).T
        if count == 1:
            width = x.double().std(0, correction=0)[:, None]
        else:
            gaps = F.pad(quantile.diff(dim=1)[:, None], (1, 1), "replicate")[:, 0]
            width = 0.5 * (gaps[:, 1:] + gaps[:, :-1])
        # of a logistic with that standard deviation
        log_scale = torch.log(width.clamp(min=1e-6) * math.sqrt(3) / math.pi) - self._log_scale
        bounded = log_scale.clamp(-0.9 * _BOUND, 0.9 * _BOUND)
        mean = quantile - self._start(quantile)
        raw = _BOUND * torch.atanh(bounded / _BOUND)
        return torch.cat([torch.zeros_like(mean), mean, raw], 1).to(x.dtype)

    def _logit_component(self, a: Tensor) -> tuple[Tensor, Tensor]:
        return a, torch.zeros_like(a)

    def _standard_quantile(self, z: Tensor, y: Tensor) -> Tensor:
        return y


class GaussianMixture(_Mixture):
    """z = Φ⁻¹(F(x)), F a mixture of Gaussians: MAF's MoG conditionals (Papamakarios et al. 2017).

    One component is exactly affine. At zero parameters and 8 components the map stays within 0.08
    of the identity for |x| ≤ 3.

    Args:
        components: how many; theta holds 3 for each.

    Raises:
        ValueError: no component.
    """

    normal = True

    def __init__(self, components: int = 8) -> None:
        super().__init__(components, variance=1.0, scale=0.8)

    def _logit_component(self, a: Tensor) -> tuple[Tensor, Tensor]:
        return logistic_from_normal(a)

    def _standard_quantile(self, z: Tensor, y: Tensor) -> Tensor:
        return z
