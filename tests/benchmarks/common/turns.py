"""Sides of a comparison that take turns, so that what else a machine does meets all alike."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch

ROUNDS = 5
TURN_SECONDS = 0.2


@dataclass(frozen=True)
class Side:
    """What is timed.

    Args:
        run: one call.
        calls: at most so many, the first of which counts; where infinite, as many as fit its
            turns, after one that does not count.
        scale: what a call's time is multiplied by: 5 where it runs one of five equal layers.
    """

    run: Callable[[], object]
    calls: float = math.inf
    scale: int = 1


def in_turns(sides: dict[str, Side], device: str) -> dict[str, list[float]]:
    """Seconds of each side's calls, the sides taking turns, without gradients."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    with torch.no_grad():
        for side in sides.values():
            if side.calls == math.inf:
                side.run()
        for _, (name, side) in product(range(ROUNDS), sides.items()):
            turn = 0.0
            while turn < TURN_SECONDS and len(taken[name]) < side.calls:
                start = time.perf_counter()
                side.run()
                if device == "cuda":
                    torch.cuda.synchronize()
                seconds = time.perf_counter() - start
                taken[name].append(side.scale * seconds)
                turn += seconds
    return taken
