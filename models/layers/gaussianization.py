"""Gaussianization: marginal maps to normal coordinates, and steps of marginals and linear maps."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.bijection import Bijection, Shape, sum_event
from models.networks import Conditioner, Parameters
from models.numerics import Knots, LogisticMixture, scan_loop, spline, spline_inverse


class MarginalMixture(Bijection):
    """z = Φ⁻¹(F(x)) in each coordinate, where F is the coordinate's own mixture of logistics.

    The trainable layer of Gaussianization flows (Meng et al. 2020, §3.1), with both tails in log
    space: float32 distinguishes points beyond 8σ.

    Args:
        event_shape: shape of one row.
        components: number of components of each mixture.
        conditioner: shape of the network by which the mixtures depend on the context.
        context_shape: shape of the conditioning vector, or None.
    """

    decode_cost = "iterative"

    def __init__(
        self,
        event_shape: Sequence[int],
        components: int,
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        self.univariate = LogisticMixture(components, normal=True)
        size = math.prod(self.event_shape) * self.univariate.size
        self.mixtures = Parameters(size, self.context_features, conditioner)

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Place the components of the mixtures at quantiles of the data."""
        with torch.no_grad():
            self.mixtures.value.copy_(self.univariate.fit(x.flatten(1)).flatten())

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate.encode(x.flatten(1), self._theta(context))
        return z.view_as(x), sum_event(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.univariate.decode(z.flatten(1), self._theta(context))
        return x.view_as(z), sum_event(log_det)

    def _theta(self, context: Tensor | None) -> Tensor:
        """Parameters of the mixtures: batch (or 1) × D × size."""
        theta: Tensor = self.mixtures(context)
        return theta.view(-1, math.prod(self.event_shape), self.univariate.size)


class GaussianizationStep(NamedTuple):
    """One step of `IterativeGaussianization`, in the order of encoding.

    Args:
        regression: 2 × features × D: coefficients of each coordinate's mean and log-scale on the
            features of the context.
        knots: 3 × D × K: x, y and slopes of each coordinate's spline.
        center: D, subtracted before the matrix.
        matrix: D × D, invertible.
    """

    regression: Tensor
    knots: Tensor
    center: Tensor
    matrix: Tensor


class IterativeGaussianization(Bijection):
    """Steps of marginal splines and a linear map; there are none before they are fitted.

    Chen & Gopinath 2000; Laparra et al. 2011 (RBIG). With a context each step first removes what a
    linear regression predicts of each coordinate's mean and log-scale. Both directions cost one
    pass. Loading a state dict makes as many steps as it holds. In an exported graph the steps are
    one Scan.

    Args:
        event_shape: shape of one row; D is its number of elements.
        knots: K, number of knots of each coordinate's splines.
        context_shape: shape of the conditioning vector, or None; a constant is added to its
            features.

    Raises:
        ValueError: fewer than three knots.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        knots: int,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if knots < 3:
            raise ValueError(f"knots is at least 3, got {knots}")
        n = math.prod(self.event_shape)
        features = 0 if self.context_shape is None else self.context_features + 1
        self.shapes: list[Shape] = [(2, features, n), (3, n, knots), (n,), (n, n)]
        for name, shape in zip(GaussianizationStep._fields, self.shapes, strict=True):
            self.register_buffer(name, torch.zeros(0, *shape))
        self._inverse: Tensor | None = None
        self._log_abs_det: Tensor | None = None
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @property
    def steps(self) -> GaussianizationStep:
        """All steps: each field has the axis of the steps in front."""
        return GaussianizationStep(*(getattr(self, name) for name in GaussianizationStep._fields))

    def append(self, step: GaussianizationStep) -> None:
        """Add a step at the end of encoding."""
        for name, held, new in zip(GaussianizationStep._fields, self.steps, step, strict=True):
            setattr(self, name, torch.cat([held, new.to(held)[None]]))

    def truncate(self, count: int) -> None:
        """Keep the first steps only."""
        for name, held in zip(GaussianizationStep._fields, self.steps, strict=True):
            setattr(self, name, held[:count].clone())

    def fold(self) -> None:
        """Keep inverse matrices and log-determinants, computed in float64 (`folding.Foldable`)."""
        matrix: Tensor = self.steps.matrix
        exact = matrix.double()
        self._inverse = torch.linalg.inv(exact).to(matrix)
        self._log_abs_det = torch.linalg.slogdet(exact).logabsdet.to(matrix)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        def step(state: Tensor, row: Tensor) -> Tensor:
            x, total = state[:, :-1], state[:, -1:]
            (regression, knots, center, matrix), log_abs_det = self._unpack(row)
            mean, log_scale = self._regress(regression, x, context)
            x, log_slope = spline((x - mean) * torch.exp(-log_scale), Knots(*knots.unbind()))
            total = total + (log_slope - log_scale).sum(1, keepdim=True) + log_abs_det
            return torch.cat([F.linear(x - center, matrix), total], 1)

        rows = self._pack(self.steps.matrix)
        return self._run(step, x, rows)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        def step(state: Tensor, row: Tensor) -> Tensor:
            z, total = state[:, :-1], state[:, -1:]
            (regression, knots, center, inverse), log_abs_det = self._unpack(row)
            x, log_slope = spline_inverse(F.linear(z, inverse) + center, Knots(*knots.unbind()))
            mean, log_scale = self._regress(regression, x, context)
            total = total + (log_slope + log_scale).sum(1, keepdim=True) - log_abs_det
            return torch.cat([x * torch.exp(log_scale) + mean, total], 1)

        matrix = self.steps.matrix
        inverse = torch.linalg.inv(matrix) if self._inverse is None else self._inverse
        return self._run(step, z, self._pack(inverse).flip(0))

    def _run(
        self, step: Callable[[Tensor, Tensor], Tensor], value: Tensor, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Map rows through every step; the state of the loop is the rows and their log-det."""
        flat = value.flatten(1)
        initial = torch.cat([flat, torch.zeros_like(flat[:, :1])], 1)
        (state,), _ = scan_loop(lambda now, row: ([step(now[0], row[0])], []), [initial], [rows])
        return state[:, :-1].view_as(value), state[:, -1]

    def _pack(self, matrix: Tensor) -> Tensor:
        """One row for each step: its tensors, with this matrix, and its log-determinant."""
        steps = self.steps._replace(matrix=matrix)
        log_abs_det = self._log_abs_det
        if log_abs_det is None:
            log_abs_det = torch.linalg.slogdet(self.steps.matrix).logabsdet
        return torch.cat([*(field.flatten(1) for field in steps), log_abs_det[:, None]], 1)

    def _unpack(self, row: Tensor) -> tuple[GaussianizationStep, Tensor]:
        """The step and the log-determinant that `_pack` wrote into a row."""
        sizes = [math.prod(shape) for shape in self.shapes]
        *flat, log_abs_det = torch.split(row, [*sizes, 1])
        fields = (values.view(*shape) for values, shape in zip(flat, self.shapes, strict=True))
        return GaussianizationStep(*fields), log_abs_det

    def _regress(
        self, regression: Tensor, x: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-scale of each coordinate that the context predicts; zeros without one."""
        if context is None:
            return torch.zeros_like(x), torch.zeros_like(x)
        mean, log_scale = with_constant(context) @ regression
        # a context far from those of training must not scale a row out of float32
        return mean, 4 * torch.tanh(log_scale / 4)


def with_constant(context: Tensor) -> Tensor:
    """The features of the regressions: batch × features → batch × (features + 1)."""
    flat = context.flatten(1)
    return torch.cat([flat, torch.ones_like(flat[:, :1])], 1)


def _make_room(
    module: IterativeGaussianization, state: Mapping[str, Any], prefix: str, *_: object
) -> None:
    """Allocate as many steps as the state dict holds that is about to be loaded."""
    for name, held in zip(GaussianizationStep._fields, module.steps, strict=True):
        if prefix + name in state:
            count = len(state[prefix + name])
            setattr(module, name, held.new_zeros(count, *held.shape[1:]))
