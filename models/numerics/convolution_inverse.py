"""The two ways to solve x + residual(x) = target for the residual of a masked convolution."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.numerics.exportable_loops import Tensors, fixed_point, scan_loop

# Last digits by which a target may be missed: an element within ROUNDING_ULPS is finished, a row of the
# batch that is not within LOST_ULPS in the end has not been decoded.
ROUNDING_ULPS, LOST_ULPS = 4.0, 4e3
# A tenth off each time is every digit of float64 in fewer; four more for each coordinate that
# waits for another. Random parameters of 8 × 8 pixels took up to 46 in all, the slowest found 202.
MAX_SWEEPS = 400


def misses_target(
    x: Tensor, moved: Tensor, target: Tensor, spread: Tensor, digits: float
) -> Tensor:
    """Where x + moved is not the target to so many last digits.

    Args:
        x, moved, target: of one shape; `moved` is the residual of x.
        spread: how large the terms of the residual may be, broadcast against x.
        digits: in units of the last place of the terms.
    """
    rounding = digits * torch.finfo(x.dtype).eps * (x.abs().clamp(min=1) + spread)
    misses: Tensor = (x + moved - target).abs() > rounding
    return misses


def solve_jacobi(
    residual: Callable[[Tensor], Tensor], target: Tensor, spread: Tensor, coordinates: int
) -> Tensor:
    """Repeat x ← target − residual(x) until every element is right to rounding.

    Args:
        residual: x → the residual, of x's shape.
        target: what x + residual(x) shall be.
        spread: of `misses_target`.
        coordinates: how many of x may wait for one another.
    """

    def step(x: Tensor) -> Tensor:
        moved = residual(x)
        # an element that is right to rounding stays as it is: its last digit, moving on, would
        # move all those after it
        return torch.where(
            misses_target(x, moved, target, spread, ROUNDING_ULPS), target - moved, x
        )

    return fixed_point(step, target.clone(), 0.0, MAX_SWEEPS + 4 * coordinates)


def solve_by_rows(
    target: Tensor, shifts: Sequence[Tensor], weights: Sequence[Tensor], spread: Tensor
) -> Tensor:
    """Solve one row of pixels after another, each by `solve_jacobi` given all that the last one left.

    Gauss-Seidel over rows and Jacobi within: the hybrid of Song et al. 2021, "Accelerating
    Feedforward Computation via Parallel Nonlinear Equation Solving". Taps reach one row up, so
    that what a finished row holds is read once, by the next one.

    Args:
        target: batch × C × H × W.
        shifts: biases of each layer, 1 or batch × outputs × 1 × 1; the first's may be × H × W.
        weights: of each layer, outputs × inputs × 3 × 3, masked for the raster order.
        spread: of `misses_target`, C × 1 × 1.

    Returns:
        x: batch × C × H × W.
    """
    # pixels and batch are the rows of one matrix: a convolution is one product, whatever the batch
    rows = target.permute(2, 3, 0, 1).contiguous()
    _, width, _, channels = rows.shape
    above, here = (
        [w[:, :, row, :reach].permute(2, 1, 0).flatten(0, 1).clone() for w in weights]
        for row, reach in ((0, 3), (1, 2))
    )
    # an exported scan takes an axis of 1 for one of any length, and cannot broadcast it
    biases = [shift[:, :, 0, 0] + torch.zeros_like(rows[0, 0, :, :1]) for shift in shifts]
    scanned = [rows]
    if shifts[0].shape[2:] != (1, 1):
        scanned.append(shifts[0].permute(2, 3, 0, 1) + torch.zeros_like(rows[:, :, :, :1]))
    inputs = [w.shape[1] for w in weights]

    def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (last,) = states
        units = last.split_with_sizes(inputs, -1)
        first = row[1] if len(row) > 1 else biases[0]
        *given, given_last = [
            _taps(h, 3) @ matrix + bias
            for h, matrix, bias in zip(units, above, [first, *biases[1:]], strict=True)
        ]
        *matrices, matrix_last = here

        def read(x: Tensor) -> list[Tensor]:
            units = [x]
            for matrix, before in zip(matrices, given, strict=True):
                units.append(torch.tanh(_taps(units[-1], 2) @ matrix + before))
            return units

        def residual(x: Tensor) -> Tensor:
            return _taps(read(x)[-1], 2) @ matrix_last + given_last

        x = solve_jacobi(residual, row[0], spread.view(-1), channels * width)
        return [torch.cat(read(x), -1)], [x]

    nothing = torch.zeros_like(rows[0, :, :, :1]).repeat(1, 1, sum(inputs))
    _, (x,) = scan_loop(step, [nothing], scanned)
    return x.permute(2, 3, 0, 1)


def _taps(h: Tensor, reach: int) -> Tensor:
    """What each pixel of a row reads: the one before it, itself and, of 3, the one after it.

    W × batch × units → W × batch × (reach · units); beyond the borders are zeros.
    """
    padded = F.pad(h, (0, 0, 0, 0, 1, reach - 2))
    return torch.cat([padded[i : i + h.shape[0]] for i in range(reach)], -1)
