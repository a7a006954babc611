"""All kinds of clients at once, and the slope of memory that is looked for."""

from pathlib import Path

import numpy as np
import pytest

from tests.hostile.attackers import ATTACKERS
from tests.hostile.mixed import CONNECTIONS, MAX_SLOPE, Slope, run, slope

SECONDS = 90
GRACE_SECONDS = 5


@pytest.mark.hostile
def test_good_clients_are_answered_under_a_mixed_load(tmp_path: Path) -> None:
    result = run(SECONDS, tmp_path, GRACE_SECONDS)
    assert not result.failures, result


def _memory(bytes_a_minute: float, noise: float, seed: int = 0) -> list[tuple[float, int]]:
    draw = np.random.default_rng(seed).normal(size=1200) * noise
    steps = [2e8 * (second < 100) for second in range(1200)]  # what is made once, at the start
    return [
        (float(t), int(2e8 - steps[t] + bytes_a_minute * t / 60 + draw[t])) for t in range(1200)
    ]


def test_a_slope_is_that_of_the_last_three_quarters() -> None:
    found = slope(_memory(1e6, 2e6))
    assert found.low < 1e6 < found.high
    assert found.high - found.low < 0.3e6
    assert found.mean == pytest.approx(1e6, rel=0.2)


def test_memory_that_does_not_grow_is_within_the_bound_and_growth_is_not() -> None:
    assert slope(_memory(0, 2e6)).high < MAX_SLOPE < slope(_memory(0.4e6, 2e6)).high
    assert np.isnan(slope([(0.0, 10**8), (1.0, 10**8)]).high)


def test_a_slope_is_said_in_megabytes() -> None:
    assert str(Slope(1e5, -1e5, 3e5)) == "0.10 (-0.10 to 0.30) MB a minute"


def test_the_parts_of_the_load_are_attackers() -> None:
    assert set(CONNECTIONS) <= set(ATTACKERS)
