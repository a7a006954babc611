"""How many threads run graphs beside a loop."""

import math
from types import SimpleNamespace

import pytest

from service.engine.cpus import BUSY, SHORT, WINDOW, Runners

LONG = 2 * SHORT


class Clocks:
    """The clocks that `service.cpus` reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.used = 1000.0, 0.0
        clocks = SimpleNamespace(
            monotonic=lambda: self.now,
            clock_gettime=lambda _: self.used,
            pthread_getcpuclockid=lambda _: 0,
        )
        monkeypatch.setattr("service.cpus.time", clocks)

    def go_on(self, share: float) -> None:
        """Let a window pass of which the loop uses a share."""
        self.now += 2 * WINDOW
        self.used += 2 * WINDOW * share


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


@pytest.mark.parametrize(
    ("cpus", "threads", "beside"), [(2, 2, 1), (1, 1, 1), (4, 4, 3), (8, 2, 2), (2, 4, 1)]
)
def test_a_busy_loop_has_a_cpu_to_itself(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch, cpus: int, threads: int, beside: int
) -> None:
    monkeypatch.setattr("service.cpus.granted_cpus", lambda: cpus)
    runners = Runners(threads)
    runners(LONG)
    clocks.go_on(1.1 * BUSY)
    assert runners(SHORT) == runners(math.inf) == threads
    assert runners(LONG) == beside
    clocks.go_on(0.9 * BUSY)
    assert runners(LONG) == threads


def test_a_share_is_taken_over_a_window(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cpus.granted_cpus", lambda: 2)
    runners = Runners(2)
    runners(LONG)
    clocks.now += WINDOW / 2
    clocks.used += WINDOW / 2
    assert runners(LONG) == 2
    clocks.now += WINDOW
    assert runners(LONG) == 1
