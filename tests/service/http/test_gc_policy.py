"""The collector of garbage, taken over from Python."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from service.http.gc_policy import FEW, PAUSE, SHARE, Garbage


class Circle:
    """An object that only a collector frees."""

    def __init__(self) -> None:
        self.itself = self


def circles(count: int) -> weakref.ref[Circle]:
    made = [Circle() for _ in range(count)]
    return weakref.ref(made[0])


@pytest.fixture
def garbage() -> Iterator[Garbage]:
    yield Garbage()
    gc.unfreeze()
    gc.enable()


def test_what_was_there_is_passed_over(garbage: Garbage) -> None:
    assert gc.get_freeze_count() > 10_000
    assert not gc.isenabled()


def test_something_is_collected_and_next_to_nothing_is_not(garbage: Garbage) -> None:
    little = circles(FEW // 10)
    garbage.collect()
    assert little() is not None
    more = circles(FEW)
    garbage.collect()
    assert little() is None
    assert more() is None


@pytest.mark.parametrize(("took", "rests"), [(0.001, PAUSE), (0.1, 0.1 / SHARE)])
def test_it_takes_a_small_part_of_all_time(
    garbage: Garbage, monkeypatch: pytest.MonkeyPatch, took: float, rests: float
) -> None:
    now = [100.0]
    monkeypatch.setattr("service.http.gc_policy.time.monotonic", lambda: now[0])
    collect = gc.collect

    def slow() -> int:
        now[0] += took
        return collect()

    monkeypatch.setattr("service.http.gc_policy.gc.collect", slow)
    circles(FEW)
    garbage.collect()
    again = circles(FEW)
    now[0] += 0.9 * rests
    garbage.collect()
    assert again() is not None
    now[0] += 0.2 * rests
    garbage.collect()
    assert again() is None
