"""How many steps the searches for roots take."""

from collections.abc import Sequence

import pytest
from torch import Tensor

from models.numerics import root_finding as roots
from models.numerics.exportable_loops import LoopStep, repeat_while


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which each search from now on adds its number of steps."""
    counts: list[int] = []

    def counted(step: LoopStep, states: Sequence[Tensor], most: int) -> list[Tensor]:
        counts.append(0)

        def once(states: Sequence[Tensor]) -> tuple[Sequence[Tensor], Tensor]:
            counts[-1] += 1
            return step(states)

        return repeat_while(once, states, most)

    monkeypatch.setattr(roots, "repeat_while", counted)
    return counts
