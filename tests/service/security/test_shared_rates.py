"""Rates of keys that several processes count: no more is granted than by one."""

import mmap
import os

import pytest

from service.security import SharedRates


@pytest.fixture
def table() -> tuple[mmap.mmap, int]:
    return mmap.mmap(-1, 4096), os.memfd_create("rates")


def test_two_processes_grant_together_what_one_would(table: tuple[mmap.mmap, int]) -> None:
    now = [0.0]
    one, two = (SharedRates(*table).bucket("key rows", 10, lambda: now[0]) for _ in range(2))
    assert one.take(6) == 0
    assert two.take(4) == 0
    assert one.take(1) == pytest.approx(0.1)
    assert two.take(1) == pytest.approx(0.1)
    now[0] = 0.1
    assert two.take(1) == 0
    assert one.take(1) > 0


def test_each_rate_of_each_key_has_a_bucket_of_its_own(table: tuple[mmap.mmap, int]) -> None:
    rates = SharedRates(*table)
    buckets = [
        rates.bucket(of, rate, lambda: 0.0)
        for of in ("a rows", "a requests", "b rows")
        for rate in (1, 2)
    ]
    assert [bucket.take(1) for bucket in buckets] == len(buckets) * [0.0]


def test_where_no_place_is_left_a_process_counts_alone(table: tuple[mmap.mmap, int]) -> None:
    rates = SharedRates(*table)
    buckets = [rates.bucket(f"{number} rows", 1, lambda: 0.0) for number in range(200)]
    assert [bucket.take(1) for bucket in buckets] == 200 * [0.0]


def test_a_lock_of_a_killed_process_is_nobodys(table: tuple[mmap.mmap, int]) -> None:
    rates = SharedRates(*table)
    bucket = rates.bucket("key rows", 1, lambda: 0.0)
    if (process := os.fork()) == 0:
        rates.locked().__enter__()
        os._exit(1)
    os.waitpid(process, 0)
    assert bucket.take(1) == 0
