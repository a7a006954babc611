"""Two methods to solve x + residual(x) = target for the residual of a masked convolution."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.numerics.exportable_loops import Tensors, fixed_point, scan_loop

# Distances from a target in units of its last place (ulp): an element within ROUNDING_ULPS has
# converged; a row of the batch that is not within LOST_ULPS in the end has not been decoded.
ROUNDING_ULPS, LOST_ULPS = 4.0, 4e3
# Largest number of sweeps, and four more for each coordinate that depends on others: errors shrink
# by a tenth in each, to the last digit of float64 in fewer than these. Random parameters of 8 × 8
# pixels took up to 46 in all, and the slowest known 202.
MAX_SWEEPS = 400


def misses_target(
    x: Tensor, residual: Tensor, target: Tensor, spread: Tensor, ulps: float
) -> Tensor:
    """Where x + residual differs from the target by more than a rounding error.

    Args:
        x, residual, target: of one shape.
        spread: bound of the terms that the residual adds up, broadcast against x.
        ulps: the error allowed, in units in the last place of the terms.
    """
    rounding = ulps * torch.finfo(x.dtype).eps * (x.abs().clamp(min=1) + spread)
    misses: Tensor = (x + residual - target).abs() > rounding
    return misses


def solve_jacobi(
    residual: Callable[[Tensor], Tensor], target: Tensor, spread: Tensor, coordinates: int
) -> Tensor:
    """Repeat x ← target − residual(x) until every element has converged.

    Args:
        residual: x → the residual, of the shape of x.
        target: the value of x + residual(x).
        spread: see `misses_target`.
        coordinates: number of elements of x that can depend on one another.
    """

    def step(x: Tensor) -> Tensor:
        moved = residual(x)
        # an element that has converged is kept: a change in its last digit would change all
        # elements after it
        return torch.where(
            misses_target(x, moved, target, spread, ROUNDING_ULPS), target - moved, x
        )

    return fixed_point(step, target, 0.0, MAX_SWEEPS + 4 * coordinates)


def solve_by_rows(
    target: Tensor, shifts: Sequence[Tensor], weights: Sequence[Tensor], spread: Tensor
) -> Tensor:
    """Solve one row of pixels after another, each by `solve_jacobi` given the row above.

    Gauss-Seidel over rows and Jacobi within: the hybrid of Song et al. 2021, "Accelerating
    Feedforward Computation via Parallel Nonlinear Equation Solving". Kernels reach one row up, so
    that the units of a finished row are read once, by the next row.

    Args:
        target: batch × C × H × W.
        shifts: biases of each layer, 1 (or batch) × outputs × 1 × 1; of the first layer perhaps
            × H × W.
        weights: of each layer, outputs × inputs × 3 × 3, masked for the raster order.
        spread: see `misses_target`; C × 1 × 1.

    Returns:
        x: batch × C × H × W.
    """
    # pixels and batch are the rows of one matrix, so that a convolution is one matrix product
    rows = target.permute(2, 3, 0, 1).contiguous()
    _, width, _, channels = rows.shape
    above, here = (
        [w[:, :, row, :reach].permute(2, 1, 0).flatten(0, 1) for w in weights]
        for row, reach in ((0, 3), (1, 2))
    )
    biases = [shift[:, :, 0, 0] for shift in shifts]
    scanned = [rows]
    if shifts[0].shape[2:] != (1, 1):
        scanned.append(shifts[0].permute(2, 3, 0, 1))
    inputs = [w.shape[1] for w in weights]

    def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
        (last,) = states
        units = last.split_with_sizes(inputs, -1)
        first = row[1] if len(row) > 1 else biases[0]
        *from_above, from_above_last = [
            _taps(h, 3) @ matrix + bias
            for h, matrix, bias in zip(units, above, [first, *biases[1:]], strict=True)
        ]
        *matrices, matrix_last = here

        def all_units(x: Tensor) -> list[Tensor]:
            units = [x]
            for matrix, before in zip(matrices, from_above, strict=True):
                units.append(torch.tanh(_taps(units[-1], 2) @ matrix + before))
            return units

        def residual(x: Tensor) -> Tensor:
            return _taps(all_units(x)[-1], 2) @ matrix_last + from_above_last

        x = solve_jacobi(residual, row[0], spread.view(-1), channels * width)
        return [torch.cat(all_units(x), -1)], [x]

    no_units = torch.zeros_like(rows[0, :, :, :1]).repeat(1, 1, sum(inputs))
    _, (x,) = scan_loop(step, [no_units], scanned)
    return x.permute(2, 3, 0, 1)


def _taps(h: Tensor, reach: int) -> Tensor:
    """Concatenate the pixels that each pixel of a row reads.

    With reach 2 they are the pixel before it and itself, with reach 3 also the pixel after it.
    W × batch × units → W × batch × (reach · units); pixels beyond the borders are zero.
    """
    padded = F.pad(h, (0, 0, 0, 0, 1, reach - 2))
    return torch.cat([padded[i : i + h.shape[0]] for i in range(reach)], -1)
