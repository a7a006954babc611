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

from models.numerics.exportable_loops import Tensors, repeat_while

# Largest number of steps. About 12 find the roots of mixtures as training makes them, to the last
# digit, and about 20 those of any mixture; so many steps halve every bracket that the layers pass.
STEPS = {torch.float32: 40, torch.float64: 80}

# Steps of up to so many units in the last place, of x or of f, need not become shorter.
_NEAR_ULPS = 4


Function = Callable[[Tensor], tuple[Tensor, ...]]
"""x → f(x), f'(x), and perhaps more that is computed on the way, all elementwise."""


def find_root(
    function: Function,
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
        function: it may read parameters that require gradients. At the root the slope is above
            zero and finite; elsewhere it can have any value.
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
    return root_and_more(0, function, target, low, high, start, rounding)[0]


def root_and_more(
    count: int,
    function: Function,
    target: Tensor,
    low: Tensor,
    high: Tensor,
    start: Tensor | None = None,
    rounding: Tensor | None = None,
) -> list[Tensor]:
    """The same, and what else the function gives at the root, of which there are `count`."""
    if start is None:
        start = 0.5 * (low + high)
    if rounding is None:
        rounding = torch.finfo(target.dtype).eps * target.abs()
    with torch.no_grad():
        x, *more = _search(count, function, target, low, high, start, rounding)
    if not torch.is_grad_enabled():
        return [x, *more]
    value, slope, *more = function(x)
    missing = target - value
    if not missing.requires_grad:
        return [x, *more]
    # Adds zero, with the derivative of the root with respect to all that f reads. Newton's step
    # itself is a rounding error over the slope, which is far where f is flat.
    x = x + (missing - missing.detach()) / slope.detach()
    return [x, *(function(x)[2:] if more else [])]


def _search(
    count: int,
    function: Function,
    target: Tensor,
    low: Tensor,
    high: Tensor,
    start: Tensor,
    rounding: Tensor,
) -> list[Tensor]:
    """Find the root, and what else the function gives there, without derivatives."""
    digit = torch.finfo(target.dtype).eps
    near_rounding = _NEAR_ULPS * rounding

    def step(states: Tensors) -> tuple[Tensors, Tensor]:
        low, high, x, half_last = states[:4]
        value, slope, *more = function(x)
        excess = value - target
        below = excess < 0
        low, high = torch.where(below, x, low), torch.where(below, high, x)
        middle, newton = 0.5 * (low + high), excess / slope
        length, size = newton.abs(), x.abs()
        # with an infinite slope Newton's step would be zero, far from the root
        usable = slope < torch.inf
        # not where the excess is NaN; an element that stands still is still in the next step
        moving = (excess.abs() > rounding) & (middle > low) & (middle < high)
        moving = moving & ~(usable & (length <= 0.5 * digit * size))
        # Near the root the rounding errors of f decide which of two steps is longer. Halving a
        # bracket with a distant end would lose the root there.
        near = torch.maximum(_NEAR_ULPS * digit * size, near_rounding / slope)
        after = x - newton
        usable = usable & (length <= torch.maximum(near, half_last)) & (after > low)
        after = torch.where(usable & (after < high), after, middle)
        after = torch.where(moving, after, x)
        return [low, high, after, 0.5 * (after - x).abs(), excess, *more], moving.any()

    states = [low, high, start, 0.5 * (high - low), *[torch.zeros_like(start)] * (1 + count)]
    _, _, x, _, excess, *more = repeat_while(step, states, STEPS[target.dtype])
    return [torch.where(torch.isnan(excess), excess, x), *more]
