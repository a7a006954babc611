"""Low-rank bijections, which decode in closed form, and their exact inverses."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.bijection import Bijection, sum_event
from models.layers.linear import rotation
from models.networks import Conditioner, Parameters
from models.numerics import Tensors, find_root, scan_loop

# Constrained slopes lie within e^±3, 0.05 … 20, whatever the parameters. This bounds the digits
# that the inverse of an equation can lose.
LOG_SLOPE = 3.0


class Planar(Bijection):
    """x = z + û tanh(wᵀz + b) (Rezende & Mohamed 2015, eqs. 10–12), and its exact inverse.

    With a = wᵀz + b and c = wᵀû, wᵀx + b = a + c tanh(a) is an increasing function of a whose
    slope lies between 1 and 1 + c. The paper requires c > −1 and sets no upper bound; here 1 + c
    lies within e^±`LOG_SLOPE`. u = 0 gives the identity.

    Args:
        event_shape: shape of one row; D is its number of elements.
        conditioner: shape of the network by which w, u and b depend on the context.
        context_shape: shape of the conditioning vector, or None.
    """

    encode_cost = "iterative"

    def __init__(
        self,
        event_shape: Sequence[int],
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        n = math.prod(self.event_shape)
        self.theta = Parameters(2 * n + 1, self.context_features, conditioner)
        # gradients vanish at w = u = 0; for w of unit length, wᵀz has unit variance
        nn.init.normal_(self.theta.value[:n].detach(), std=n**-0.5)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        w, u, b, c = self._constrained(context)
        flat = x.flatten(1)
        h = torch.tanh(_root((flat * w).sum(1) + b, c))
        return (flat - u * h[:, None]).view_as(x), -_log_slope(c, h)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        w, u, b, c = self._constrained(context)
        flat = z.flatten(1)
        h = torch.tanh((flat * w).sum(1) + b)
        return (flat + u * h[:, None]).view_as(z), _log_slope(c, h)

    def _constrained(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give w and û, batch (or 1) × D, b and c = wᵀû, batch (or 1)."""
        theta: Tensor = self.theta(context)
        n = theta.shape[1] // 2
        w, u, b = theta[:, :n], theta[:, n : 2 * n], theta[:, 2 * n]
        free = (w * u).sum(1)
        c = _above_minus_one(free)
        # where w is so short that its square underflows, c is wᵀu unchanged
        square = (w * w).sum(1).clamp(min=torch.finfo(w.dtype).tiny)
        return w, u + ((c - free) / square)[:, None] * w, b, c


class Radial(Bijection):
    """x = z + β (z − z₀) / (α + r), r = |z − z₀| (Rezende & Mohamed 2015, eq. 14), both directions.

    Distances from z₀ are multiplied by 1 + ρq, where ρ = β/α and q = α/(α + r); the derivative of
    the radius is 1 + ρq². The paper requires ρ > −1; here 1 + ρ lies within e^±`LOG_SLOPE`, and α
    within a factor e^±3 of √D, the typical norm of latents. The inverse is the root of a quadratic.
    The layer starts as the identity, with ρ = 0.

    Args:
        event_shape: shape of one row; D is its number of elements.
        conditioner: shape of the network by which z₀, α and ρ depend on the context.
        context_shape: shape of the conditioning vector, or None.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        n = math.prod(self.event_shape)
        self.theta = Parameters(n + 2, self.context_features, conditioner)
        # random, because layers with equal centres would have equal gradients
        nn.init.normal_(self.theta.value[:n].detach())

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        centre, alpha, rho = self._constrained(context)
        offset = x.flatten(1) - centre
        stretched = torch.linalg.vector_norm(offset, dim=1) / alpha
        # r² + 2pr = R, in units of α: the form of its positive root that subtracts nothing
        p = 0.5 * (1 + rho - stretched)
        larger = p.abs() + torch.sqrt(p * p + stretched)
        q = 1 / (1 + torch.where(p > 0, stretched / larger, larger))
        z = centre + offset / (1 + rho * q)[:, None]
        return z.view_as(x), -self._log_det(rho, q)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        centre, alpha, rho = self._constrained(context)
        flat = z.flatten(1)
        offset = flat - centre
        q = 1 / (1 + torch.linalg.vector_norm(offset, dim=1) / alpha)
        x = flat + (rho * q)[:, None] * offset
        return x.view_as(z), self._log_det(rho, q)

    def _constrained(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Give z₀, batch (or 1) × D, α and ρ, batch (or 1)."""
        theta: Tensor = self.theta(context)
        n = theta.shape[1] - 2
        alpha = math.sqrt(n) * torch.exp(_bounded(theta[:, n]))
        return theta[:, :n], alpha, _above_minus_one(theta[:, n + 1])

    def _log_det(self, rho: Tensor, q: Tensor) -> Tensor:
        across = math.prod(self.event_shape) - 1
        return across * torch.log1p(rho * q) + torch.log1p(rho * q * q)


class Sylvester(Bijection):
    """x = z + Q R tanh(R̃ Qᵀz + b) (van den Berg et al. 2018, §3), and its exact inverse.

    Q, D × M, has orthonormal columns, the first of a product of M Householder reflections, and
    does not depend on the context. R and R̃ are upper triangular, so that Qᵀz follows from Qᵀx
    from the last coordinate to the first, each by an equation like that of `Planar`: r_ii r̃_ii has
    the same bounds, and r̃_ii lies within e^±`LOG_SLOPE`. The layer starts as the identity, R = 0.

    Args:
        event_shape: shape of one row; D is its number of elements.
        conditioner: shape of the network by which R, R̃ and b depend on the context.
        rank: M; D if it is larger.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: a rank below one.
    """

    encode_cost = "iterative"
    folded: Tensor | None

    def __init__(
        self,
        event_shape: Sequence[int],
        conditioner: Conditioner,
        rank: int = 8,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if rank < 1:
            raise ValueError(f"rank is at least 1, got {rank}")
        n = math.prod(self.event_shape)
        self.rank = min(rank, n)
        self.theta = Parameters(self.rank * (self.rank + 2), self.context_features, conditioner)
        self.vectors = nn.Parameter(torch.randn(self.rank, n))
        self.register_buffer("folded", None, persistent=False)

    def frame(self) -> Tensor:
        """Q, D × M."""
        return rotation(self.vectors)[:, : self.rank] if self.folded is None else self.folded

    def fold(self) -> None:
        """Keep Q, computed in float64 (`folding.Foldable`)."""
        with torch.no_grad():
            self.folded = rotation(self.vectors.double())[:, : self.rank].to(self.vectors)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        outer, inner, b, c = self._constrained(context)
        frame = self.frame()
        flat = x.flatten(1)
        y = flat @ frame

        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            (h,), (current,) = states, row
            # h holds tanh of the coordinates after the current one, and 0 for it and those before
            targets = _times(inner, y - _times(outer, h)) + b
            root = _root((targets * current).sum(1), (c * current).sum(1))
            return [torch.where(current > 0, torch.tanh(root)[:, None], h)], []

        one_hot = torch.eye(self.rank, dtype=x.dtype, device=x.device).flip(0)
        (h,), _ = scan_loop(step, [torch.zeros_like(y)], [one_hot])
        z = flat - _times(outer, h) @ frame.T
        return z.view_as(x), -sum_event(_log_slope(c, h))

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        outer, inner, b, c = self._constrained(context)
        frame = self.frame()
        flat = z.flatten(1)
        h = torch.tanh(_times(inner, flat @ frame) + b)
        x = flat + _times(outer, h) @ frame.T
        return x.view_as(z), sum_event(_log_slope(c, h))

    def _constrained(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give R and R̃, batch (or 1) × M × M, b and r_ii r̃_ii, batch (or 1) × M."""
        theta: Tensor = self.theta(context)
        m = self.rank
        # one square holds R above its diagonal, the transpose of R̃ below it, and r_ii r̃_ii on it
        square = theta[:, : m * m].view(-1, m, m)
        b, log_diagonal = theta[:, m * m : -m], theta[:, -m:]
        eye = torch.eye(m, dtype=theta.dtype, device=theta.device)
        c = _above_minus_one((square * eye).sum(2))
        inner = torch.exp(_bounded(log_diagonal))
        return (
            square.triu(1) + (c / inner)[:, :, None] * eye,
            square.tril(-1).transpose(1, 2) + inner[:, :, None] * eye,
            b,
            c,
        )


def _bounded(raw: Tensor) -> Tensor:
    """Squash to ±LOG_SLOPE; the identity near zero."""
    return LOG_SLOPE * torch.tanh(raw / LOG_SLOPE)


def _above_minus_one(raw: Tensor) -> Tensor:
    """Give c with 1 + c within e^±LOG_SLOPE; zero stays zero, with a slope of one."""
    return torch.expm1(_bounded(raw))


def _root(target: Tensor, c: Tensor) -> Tensor:
    """Solve a + c tanh(a) = target for a, elementwise."""
    c = c.expand_as(target)

    def equation(a: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(a)
        return a + c * h, 1 + c * (1 - h * h)

    # where tanh is nearly linear, and where it is nearly ±1, this is nearly the root
    start = target - c * torch.tanh(target / (1 + c.clamp(min=0)))
    rounding = torch.finfo(target.dtype).eps * (target.abs() + c.abs())
    # of tanh = ±1 it is target ∓ c, and inside the bracket all the same
    reach = c.abs() + 4 * rounding
    return find_root(equation, target, target - reach, target + reach, start, rounding)


def _log_slope(c: Tensor, h: Tensor) -> Tensor:
    """Give log of the derivative of a + c tanh(a), from h = tanh(a)."""
    return torch.log1p(c * (1 - h * h))


def _times(matrix: Tensor, rows: Tensor) -> Tensor:
    """Multiply batch (or 1) × M × M by batch × M."""
    return (matrix @ rows[:, :, None])[:, :, 0]
