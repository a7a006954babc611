"""MintNet: masked convolutions with a triangular Jacobian, inverted by iteration."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from models.bijection import Bijection, Shape, sum_event
from models.networks import Conditioner, accept_former_name
from models.numerics import (
    LOST_ULPS,
    ROUNDING_ULPS,
    convolve,
    fixed_point,
    misses_target,
    solve_by_rows,
    solve_jacobi,
)

# The derivative of the residual with respect to its own coordinate lies within ± OWN_SLOPE, so that
# each step of decoding reduces the error of a coordinate by at least a tenth once those before it
# are exact. On digits 0.9 fits much better than 0.5, and random parameters need hardly more steps.
OWN_SLOPE = 0.9
# Number of hidden channels from which decoding by rows is the default. As exported graphs on one
# CPU core, 8 × 8 and 28 × 28 pixels, it took 1/2 of the time of the whole image with 32 and 64
# channels at a batch of 16, and 1/4 at 128 and 256; with 8 channels up to twice the time at 16, and
# 1/2 to 1 at 256. At a batch of 1 it was never faster, and at worst took 4 times as long, because
# there each step has a fixed cost.
ROWS_FROM_CHANNELS = 32
InverseMethod = Literal["jacobi", "rows"]


class Kernel(NamedTuple):
    """The weights of a masked convolution after masking.

    Args:
        full: all weights, outputs × inputs × size × size.
        own: those between the units of one channel at one pixel, C × after × before.
    """

    full: Tensor
    own: Tensor


class MaskedConv(nn.Conv2d):
    """A masked convolution between grids in which each unit belongs to a channel of a pixel.

    Args:
        channels: C of the event.
        before, after: number of units for each channel in the input and in the output.
        size: side of the square kernel, odd.
        reverse: whether pixels and channels come in the reverse of the raster order.
    """

    free: Tensor
    own: Tensor
    bias: nn.Parameter

    def __init__(self, channels: int, before: int, after: int, size: int, reverse: bool) -> None:
        super().__init__(channels * before, channels * after, size)
        self.units = (channels, after, before)
        reads = torch.arange(channels).repeat_interleave(before)[None, :, None]
        gives = torch.arange(channels).repeat_interleave(after)[:, None, None]
        # position of each tap in the order, relative to the unit that it contributes to
        pixel = torch.arange(size * size) - size * size // 2
        order = torch.sign(pixel) * channels + reads - gives
        free = (order >= 0 if reverse else order <= 0).view_as(self.weight)
        self.register_buffer("free", free.to(self.weight.dtype), persistent=False)
        self.register_buffer("own", (order == 0).view_as(self.weight), persistent=False)

    def kernel(self, scale: Tensor | None = None) -> Kernel:
        """The weights after masking.

        Args:
            scale: factor of the own taps of each output, C · after, or None.
        """
        full = self.weight * self.free
        if scale is not None:
            full = torch.where(self.own, full * scale.view(-1, 1, 1, 1), full)
        channels, after, before = self.units
        middle = full[:, :, self.kernel_size[0] // 2, self.kernel_size[1] // 2]
        own = middle.view(channels, after, channels, before).diagonal(dim1=0, dim2=2)
        return Kernel(full, own.permute(2, 0, 1))


class MaskedConvolution(Bijection):
    """z = t ⊙ (x + W₃ ⊛ h(W₂ ⊛ h(W₁ ⊛ x + b₁) + b₂) + b₃) with masked W and h = tanh.

    Song et al. 2019, "MintNet", eqs. 4–6, with as many hidden layers as `conditioner` has. Pixels
    come in raster order, the channels of a pixel one after another, and each hidden unit belongs
    to one channel of one pixel. An output depends on its own input and on those before it, so that
    the Jacobian is triangular; its diagonal is computed together with the outputs. The paper keeps
    the diagonal positive by the signs of weights. Here the last weights are scaled so that it lies
    in t · (1 ± 0.9) whatever the parameters: decoding converges without computing the diagonal.

    Encoding costs one pass. Decoding repeats x ← z / t − residual(x) until every element is exact
    to rounding, which each becomes after those before it. `inverse_method` says what is repeated,
    and can be set at any time: "jacobi" repeats the whole image, in practice tens of times; "rows"
    solves one row of pixels after another, with less arithmetic in more steps. A row of the batch
    that has not converged in the end is NaN. Gradients are exact in both directions; decoding has
    no second derivatives.

    Args:
        event_shape: C × H × W, or D for D channels of a single pixel.
        conditioner: numbers of hidden channels, each rounded up to a multiple of C; tanh; and
            whether the first hidden layer has a bias for each pixel.
        reverse: whether the order is reversed.
        context_shape: shape of the conditioning vector, or None; all biases depend on it.

    Raises:
        ValueError: not one or three axes, an activation other than tanh, dropout, or residual
            layers.
    """

    decode_cost = "iterative"

    def __init__(
        self,
        event_shape: Sequence[int],
        conditioner: Conditioner,
        reverse: bool = False,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if len(self.event_shape) not in (1, 3):
            raise ValueError(f"expected an event shape C × H × W or D, got {self.event_shape}")
        if conditioner.activation != "tanh" or conditioner.dropout or conditioner.residual:
            # the bound on slopes assumes tanh, and dropout would change the map from step to step
            raise ValueError("masked convolutions take tanh, no dropout and no residual layers")
        channels, height, width = (*self.event_shape, 1, 1)[:3]
        self.image: Shape = (channels, height, width)
        self.reverse = reverse
        wide = max(conditioner.hidden, default=0) >= ROWS_FROM_CHANNELS
        self.inverse_method: InverseMethod = "rows" if wide else "jacobi"
        size = 1 if height == width == 1 else 3
        units = [1, *(math.ceil(n / channels) for n in conditioner.hidden), 1]
        self.layers = nn.ModuleList(
            MaskedConv(channels, before, after, size, reverse) for before, after in pairwise(units)
        )
        conditioner.initialize(self.layers[-1])
        self.positional_bias: nn.Parameter | None = None
        if conditioner.positional_bias:
            self.positional_bias = nn.Parameter(torch.zeros(channels * units[1], height, width))
        accept_former_name(self, "places", "positional_bias")
        self.log_t = nn.Parameter(torch.zeros(self.image))
        self.shifts = nn.ModuleList()
        if self.context_shape is not None:
            for after in units[1:]:
                shift = nn.Linear(self.context_features, channels * after, bias=False)
                nn.init.zeros_(shift.weight)
                self.shifts.append(shift)
        self._folded: list[Kernel] | None = None

    def fold(self) -> None:
        """Keep the weights after masking (`folding.Foldable`)."""
        with torch.no_grad():
            self._folded = self._kernels()

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        image = x.view(-1, *self.image)
        kernels = self._kernels()
        moved, units = self._residual(
            image, self._shifts(context), [kernel.full for kernel in kernels]
        )
        z = (image + moved) * torch.exp(self._log_t())
        return z.view_as(x), sum_event(self._log_t() + torch.log1p(self._slope(units, kernels)))

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        shifts, kernels = self._shifts(context), self._kernels()
        target = z.view(-1, *self.image) * torch.exp(-self._log_t())
        spread = torch.linalg.vector_norm(kernels[-1].full, dim=(1, 2, 3)).view(-1, 1, 1)
        weights = [kernel.full for kernel in kernels]
        x = root = self._root(target, shifts, weights, spread)
        moved, units = self._residual(root, shifts, weights)
        value = target - moved
        if value.requires_grad:
            # adds zero, but makes x depend on the target and on the parameters
            x = root + (value - value.detach())
            x.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: self._transposed(gradient, root, shifts, kernels)
            )
            moved, units = self._residual(x, shifts, weights)
        converged = ~misses_target(x, moved, target, spread, LOST_ULPS).flatten(1).any(1)
        log_det = -sum_event(self._log_t() + torch.log1p(self._slope(units, kernels)))
        x = torch.where(converged.view(-1, 1, 1, 1), x, torch.nan)
        return x.view_as(z), torch.where(converged, log_det, torch.nan)

    def _root(
        self, target: Tensor, shifts: Sequence[Tensor], weights: Sequence[Tensor], spread: Tensor
    ) -> Tensor:
        """Solve x + residual(x) = target for x, without gradients: batch × C × H × W."""
        with torch.no_grad():
            if self.inverse_method == "jacobi" or self.image[1:] == (1, 1):

                def residual(x: Tensor) -> Tensor:
                    return self._residual(x, shifts, weights)[0]

                return solve_jacobi(residual, target, spread, math.prod(self.image))
            if not self.reverse:
                return solve_by_rows(target, shifts, weights, spread)
            turned = [weight.flip(2, 3) for weight in weights]
            shifts = [shift.flip(2, 3) for shift in shifts]
            return solve_by_rows(target.flip(2, 3), shifts, turned, spread).flip(2, 3)

    def _residual(
        self, x: Tensor, shifts: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """W₃ ⊛ h(…) + b₃, batch × C × H × W, and the input of each of its convolutions."""
        units: list[Tensor] = []
        for weight, shift in zip(weights, shifts, strict=True):
            h = torch.tanh(x) if units else x
            units.append(h)
            x = convolve(h, weight) + shift
        return x, units

    def _slope(self, units: Sequence[Tensor], kernels: Sequence[Kernel]) -> Tensor:
        """Derivative of the residual with respect to its own coordinate: batch × C × H × W."""
        channels, height, width = self.image
        slope = torch.ones_like(units[0])
        for i, (kernel, h) in enumerate(zip(kernels, units, strict=True)):
            if i > 0:
                slope = slope * (1 - h * h)
            _, after, before = kernel.own.shape
            grouped = slope.view(-1, channels, before, height * width)
            slope = (kernel.own @ grouped).view(-1, channels * after, height, width)
        return slope

    def _transposed(
        self, gradient: Tensor, root: Tensor, shifts: Sequence[Tensor], kernels: Sequence[Kernel]
    ) -> Tensor:
        """Solve vᵀ J = gradient for v, where J is the Jacobian of x + residual(x).

        This is implicit differentiation. J is triangular, so that v is exact after as many steps as
        there are coordinates.
        """
        with torch.enable_grad():
            at = root.clone().requires_grad_()
            moved, units = self._residual(at, shifts, [kernel.full for kernel in kernels])
        diagonal = 1 + self._slope(units, kernels).detach()
        # gradients can be small: the tolerance is relative to the largest of each row
        largest = gradient.abs().amax((1, 2, 3), keepdim=True)
        largest = torch.where(largest > 0, largest, 1)
        target = gradient / largest

        def step(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(moved, at, v, retain_graph=True)
            return v + (target - v - product) / diagonal

        tolerance, max_steps = ROUNDING_ULPS * torch.finfo(root.dtype).eps, math.prod(self.image)
        return largest * fixed_point(step, target / diagonal, tolerance, max_steps)

    def _log_t(self) -> Tensor:
        # no layer scales a coordinate beyond e^±4, as in univariate.Affine
        return 4 * torch.tanh(self.log_t / 4)

    def _shifts(self, context: Tensor | None) -> list[Tensor]:
        """Biases of each layer: 1 × channels × 1 × 1, or batch × … if there is a context.

        Those of the first layer are 1 (or batch) × channels × H × W if there is a positional bias.
        """
        biases: list[Tensor] = [layer.bias[None] for layer in self._masked()]
        if context is not None:
            flat = context.flatten(1)
            biases = [b + shift(flat) for b, shift in zip(biases, self.shifts, strict=True)]
        first, *others = [bias[:, :, None, None] for bias in biases]
        return [first if self.positional_bias is None else first + self.positional_bias, *others]

    def _kernels(self) -> list[Kernel]:
        if self._folded is not None:
            return self._folded
        *hidden, last = self._masked()
        kernels = [layer.kernel() for layer in hidden]
        # the sum over all paths from a coordinate to itself of the products of |weights| bounds its
        # slope; the weights of the last layer are scaled by OWN_SLOPE / (1 + sum)
        steepest = last.weight.new_ones(self.image[0], 1, 1)
        for kernel in [*kernels, last.kernel()]:
            steepest = kernel.own.abs() @ steepest
        return [*kernels, last.kernel(OWN_SLOPE / (1 + steepest))]

    def _masked(self) -> list[MaskedConv]:
        return [layer for layer in self.layers if isinstance(layer, MaskedConv)]
