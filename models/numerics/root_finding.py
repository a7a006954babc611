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

# About 12 steps find roots of a mixture of the kind that training makes, to the last digit, and
# about 20 those of any mixture; this many halve a bracket of any size that the layers give.
STEPS = {torch.float32: 40, torch.float64: 80}

# steps of up to so many last digits, of x or of f, need not become shorter
_NEAR = 4


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
        function: x → f(x) and f'(x), elementwise; of any parameters that want gradients. On the
            way to the root the slope may be anything, at the root it is above zero and finite.
        target: values of f, of any shape.
        low, high: f(low) ≤ target ≤ f(high), of that shape. The search is slow where the root is
            an end to the last digit.
        start: where to look first, between low and high; their mean if None.
        rounding: how far from the target f may be at a root, of the target's shape: what an
            error in the last digit of one of f's summands does to f. The target's own last digit
            if None.

    Returns:
        x, differentiable in the target and in what `function` reads (implicit differentiation);
        NaN where f − target is NaN.
    """
    if start is None:
        start = 0.5 * (low + high)
    if rounding is None:
        rounding = torch.finfo(target.dtype).eps * target.abs()
    if torch.compiler.is_exporting():
        # a graph has no gradients, nor has a loop's body a switch of them
        return _search(function, target, low, high, start, rounding)
    with torch.no_grad():
        x = _search(function, target, low, high, start, rounding)
    if not torch.is_grad_enabled():
        return x
    value, slope = function(x)
    missing = target - value
    if not missing.requires_grad:
        return x
    # The root's derivative in all that f reads, and exactly zero: Newton's step itself, a rounding
    # error over the slope, would leave a flat place far behind.
    return x + (missing - missing.detach()) / slope.detach()


def _search(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Tensor,
    low: Tensor,
    high: Tensor,
    start: Tensor,
    rounding: Tensor,
) -> Tensor:
    """Give the root without its derivative."""
    digit = torch.finfo(target.dtype).eps

    def step(state: Tensor) -> Tensor:
        low, high, x, last = state.unbind()
        value, slope = function(x)
        excess = value - target
        below = excess < 0
        new_low, new_high = torch.where(below, x, low), torch.where(below, high, x)
        middle = 0.5 * (new_low + new_high)
        newton = -excess / slope
        # an infinite slope would stop the search where it stands
        usable = slope < torch.inf
        still = excess.abs() <= rounding
        still = still | (usable & (newton.abs() <= 0.5 * digit * x.abs()))
        still = still | (middle <= new_low) | (middle >= new_high)
        # So near to the root the rounding errors of f decide which of two steps is the longer;
        # to halve a bracket that has an end far away would lose the root.
        near = newton.abs() <= _NEAR * torch.maximum(digit * x.abs(), rounding / slope)
        usable = usable & (near | (newton.abs() <= 0.5 * last.abs()))
        after = x + newton
        usable = usable & (after > new_low) & (after < new_high)
        after = torch.where(usable, after, middle)
        after = torch.where(torch.isnan(excess), excess, torch.where(still, x, after))
        # an element that stands still keeps its state: once all do, nothing changes any more
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
