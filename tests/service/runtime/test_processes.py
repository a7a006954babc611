"""What one of several processes has of a device."""

import pytest

from service.runtime import Device, batch_rows

MIB = 2**20


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_runs_of_all_processes_take_no_more_threads_and_memory_than_those_of_one(
    processes: int,
) -> None:
    whole, part = Device.choose("cpu:8"), Device.choose("cpu:8", processes)
    assert processes * part.runs(None) == whole.runs(None) == 8
    assert processes * part.runs(4) == whole.runs(4)
    rows = batch_rows(2 * MIB, part, part.runs(None), mib=128)
    assert rows == batch_rows(2 * MIB, whole, 8, mib=128) == 8
    assert processes * part.runs(None) * rows * 2 * MIB == 128 * MIB


def test_each_process_has_one_thread_at_least() -> None:
    assert Device.choose("cpu:2", 8).runs(None) == 1
    assert Device.choose("cpu:2", 8).part_of(3) == 1
