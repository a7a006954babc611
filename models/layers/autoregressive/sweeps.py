"""Jacobi sweeps: all values of a block at once, again and again, until each row stands still.

Where a value depends on those before it alone, k sweeps make the first k values exact, whatever
they start from (Song et al. 2021, Accelerating feedforward computation via parallel nonlinear
equation solving, proposition 1).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

from models.numerics import Tensors, repeat_while

# Bound of the magnitude of a coordinate. Coordinates that are not computed yet have arbitrary
# values, which leave others alone as long as they and their hidden units are finite; with
# float32 weights and coordinates below this limit the units are.
COORDINATE_LIMIT = 1e18


class SweepCount(NamedTuple):
    """How many sweeps the rows of a batch took over a block of values.

    Args:
        values: of the block.
        sweeps: of each row.
    """

    values: int
    sweeps: Tensor


_COUNTS: ContextVar[list[SweepCount] | None] = ContextVar("sweep_counts", default=None)


@contextmanager
def counted_sweeps() -> Iterator[list[SweepCount]]:
    """A list to which every block that is swept over meanwhile adds its count."""
    counts: list[SweepCount] = []
    token = _COUNTS.set(counts)
    try:
        yield counts
    finally:
        _COUNTS.reset(token)


def sweep(
    step: Callable[[Tensor], Sequence[Tensor]],
    start: Tensor,
    others: Sequence[Tensor],
    tolerance: float,
    max_sweeps: int,
) -> list[Tensor]:
    """Repeat `x, *others = step(x)`; a row that stands still keeps what it has.

    Each row stops by its own changes, so that its answer does not depend on the rest of a batch.

    Args:
        step: values, batch × n → the next ones, and what else it computes on the way, batch × ….
        start: the first guesses, batch × n.
        others: tensors of the shapes of what else a step computes; their elements do not matter.
        tolerance: a row stands still when no value changes by more than this times max(1, |value|).
        max_sweeps: the loop ends after so many sweeps in any case.

    Returns:
        x and the others of the last sweep of each row. Values beyond ± `COORDINATE_LIMIT` are read
        as zeros by the next sweep.
    """
    counts, swept = _COUNTS.get(), list[Tensor]()

    def once(states: Tensors) -> tuple[Tensors, Tensor]:
        moving, *kept = states
        last = _below_limit(kept[0])
        made = step(last)
        change = (_below_limit(made[0]) - last).abs()
        # what is beyond all numbers was read as zero: no change is NaN
        goes_on = moving & (change > tolerance * last.abs().clamp(min=1)).any(1)
        if counts is not None:
            swept.append(moving)
        after = [
            torch.where(moving.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(made, kept, strict=True)
        ]
        return [goes_on, *after], goes_on.any()

    moving = torch.ones_like(start[:, 0], dtype=torch.bool)
    _, *found = repeat_while(once, [moving, start, *others], max_sweeps)
    if counts is not None:
        counts.append(SweepCount(start.shape[1], torch.stack(swept).sum(0)))
    return found


def _below_limit(x: Tensor) -> Tensor:
    """Zeros in place of values beyond `COORDINATE_LIMIT`, and of NaN."""
    return torch.where(x.abs() < COORDINATE_LIMIT, x, 0)
