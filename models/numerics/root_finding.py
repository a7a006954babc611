"""Roots of monotone scalar equations, elementwise, by a bracketed Newton iteration."""

from collections.abc import Callable

import torch
from torch import Tensor

from models.numerics.exportable_loops import fixed_point

# Steps that end at the last digit from any bracket that the layers give (see test_roots.py).
STEPS = {torch.float32: 40, torch.float64: 80}


def solve(
    function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """Find x with f(x) = target for an increasing f, each element by itself.

    Newton's step is taken where it stays inside the bracket and is at most half of the step
    before it; elsewhere the bracket is halved (Press et al., Numerical Recipes, `rtsafe`). It ends
    when no root moves any more, at most after a number of steps fixed by the number type, and
    exports as one loop.

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

    def step(state: Tensor) -> Tensor:
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
    # once a step moves nothing, every root is right to its last digit
    return fixed_point(step, state, 0.0, STEPS[state.dtype])[2]
