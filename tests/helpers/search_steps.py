"""How many steps the searches for roots take."""

from collections.abc import Callable

import pytest
from torch import Tensor

from models.numerics import exportable_loops as loops
from models.numerics import root_finding as roots


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which each search from now on adds its number of steps."""
    counts: list[int] = []

    def counted(
        step: Callable[[Tensor], Tensor], state: Tensor, tolerance: float, most: int
    ) -> Tensor:
        counts.append(0)

        def once(state: Tensor) -> Tensor:
            counts[-1] += 1
            return step(state)

        return loops.fixed_point(once, state, tolerance, most)

    monkeypatch.setattr(roots, "fixed_point", counted)
    return counts
