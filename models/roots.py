"""Roots of monotone scalar equations, elementwise, by a bracketed Newton iteration."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.loops import loop

# Steps that end at the last digit from any bracket that the layers give (see test_roots.py).
STEPS = {torch.float32: 40, torch.float64: 80}


def solve(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Find x with f(x) = target for an increasing f, each element by itself.

    Newton's step is taken where it stays inside the bracket and is at most half of the step
    before it; elsewhere the bracket is halved (Press et al., Numerical Recipes, `rtsafe`). The
    number of steps is fixed by the number type, so that it exports as one loop.

    Args:
        function: x → f(x) and f'(x), elementwise; of any parameters that want gradients. On the
            way to the root the slope may be anything, at the root it is above zero and finite.
        target: values of f, of any shape.
        low, high: f(low) ≤ target ≤ f(high), of that shape.

    Returns:
        x, differentiable in the target and in what `function` reads (implicit differentiation).
    """
    if (
        torch.compiler.is_exporting()
    ):  # a graph has no gradients, nor a loop's body a switch of them
        x = _search(function, target, low, high)
    else:
        with torch.no_grad():
            x = _search(function, target, low, high)
    value, slope = function(x)
    # worth nothing at the root, and the root's derivative in all that f reads
    return x - (value - target) / slope.detach()


def _search(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Give the root without its derivative."""

    def step(state: Tensor, _: Tensor) -> Tensor:
        low, high, x, last = state.unbind()
        value, slope = function(x)
        excess = value - target
        low, high = torch.where(excess < 0, x, low), torch.where(excess < 0, high, x)
        newton = x - excess / slope
        good = (newton >= low) & (newton <= high) & ((newton - x).abs() <= 0.5 * last.abs())
        # an infinite slope would stop the search where it stands
        good = good & (slope < torch.inf)
        after = torch.where(good, newton, 0.5 * (low + high))
        return torch.stack([low, high, after, after - x])

    state = torch.stack([low, high, 0.5 * (low + high), high - low])
    times = state.new_zeros(STEPS[state.dtype], 1)
    if torch.compiler.is_exporting():
        return loop(step, state, times)[2]
    for _ in times:
        before = state[2]
        state = step(state, before)
        if torch.equal(state[2], before):
            break
    return state[2]
