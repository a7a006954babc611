"""Roots of increasing scalar equations, elementwise, by a bracketed Newton iteration.

In floating point the values of an increasing function rise and fall by their rounding errors.
Where the function is flat they cross a target at many places, and each of these is a root.
`find_root` finds one of them: rounding alone separates f there from the target. So roots are in the
order of their targets where these differ by more than the errors at both roots. To order closer
targets too, all searches would have to halve one bracket down to the last digit, in two to five
times the steps.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.numerics.exportable_loops import fixed_point

# Largest number of steps. About 12 find the roots of mixtures as training makes them, to the last
# digit, and about 20 those of any mixture; so many steps halve every bracket that the layers pass.
STEPS = {torch.float32: 40, torch.float64: 80}

# Steps of up to so many units in the last place, of x or of f, need not become shorter.
_NEAR_ULPS = 4


def find_root(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Tensor,
    low: Tensor,
    high: Tensor,
    start: Tensor | None = None,
    rounding: Tensor | None = None,
) -> Tensor:
    """Find x with f(x) = target for an increasing f, each element by itself.

    Newton's step is taken where it stays inside the bracket and is at most half of the step
    before it; elsewhere the bracket is halved (Press et al., Numerical Recipes, `rtsafe`). An
    element stands still when f there is within `rounding` of the target, when Newton's step is
    less than half of x's last digit, or when the bracket holds no number between its ends, in one
    of which f is below the target. The iteration ends when all elements stand still, at most after
    a number of steps fixed by the number type, and exports as one loop.

    Args:
        function: x → f(x) and f'(x), elementwise; it may read parameters that require gradients.
            At the root the slope is above zero and finite; elsewhere it can have any value.
        target: values of f, of any shape.
        low, high: f(low) ≤ target ≤ f(high), of that shape. The search is slow where the root is
            an end to the last digit.
        start: initial value, between low and high; their mean if None.
        rounding: largest difference of f from the target at a root, of the target's shape: the
            effect on f of an error in the last digit of one of its summands. The last digit of the
            target if None.

    Returns:
        x, differentiable in the target and in what `function` reads (implicit differentiation);
        NaN where f − target is NaN.
    """
    if start is None:
        start = 0.5 * (low + high)
    if rounding is None:
        rounding = torch.finfo(target.dtype).eps * target.abs()
    with torch.no_grad():
        x = _search(function, target, low, high, start, rounding)
    if not torch.is_grad_enabled():
        return x
    value, slope = function(x)
    missing = target - value
    if not missing.requires_grad:
        return x
    # Adds zero, with the derivative of the root with respect to all that f reads. Newton's step
    # itself is a rounding error over the slope, which is far where f is flat.
    return x + (missing - missing.detach()) / slope.detach()


def _search(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Tensor,
    low: Tensor,
    high: Tensor,
    start: Tensor,
    rounding: Tensor,
) -> Tensor:
    """Find the root, without its derivative."""
    digit = torch.finfo(target.dtype).eps

    def step(state: Tensor) -> Tensor:
        low, high, x, last = state.unbind()
        value, slope = function(x)
        excess = value - target
        below = excess < 0
        new_low, new_high = torch.where(below, x, low), torch.where(below, high, x)
        middle = 0.5 * (new_low + new_high)
        newton = -excess / slope
        # with an infinite slope Newton's step would be zero, far from the root
        usable = slope < torch.inf
        still = excess.abs() <= rounding
        still = still | (usable & (newton.abs() <= 0.5 * digit * x.abs()))
        still = still | (middle <= new_low) | (middle >= new_high)
        # Near the root the rounding errors of f decide which of two steps is longer. Halving a
        # bracket with a distant end would lose the root there.
        near = newton.abs() <= _NEAR_ULPS * torch.maximum(digit * x.abs(), rounding / slope)
        usable = usable & (near | (newton.abs() <= 0.5 * last.abs()))
        after = x + newton
        usable = usable & (after > new_low) & (after < new_high)
        after = torch.where(usable, after, middle)
        after = torch.where(torch.isnan(excess), excess, torch.where(still, x, after))
        # an element that stands still keeps its state, so that the loop ends when all do
        return torch.stack(
            [
                torch.where(still, low, new_low),
                torch.where(still, high, new_high),
                after,
                torch.where(still, last, after - x),
            ]
        )

    state = torch.stack([low, high, start, high - low])
    return fixed_point(step, state, 0.0, STEPS[state.dtype])[2]
