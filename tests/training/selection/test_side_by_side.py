"""Work side by side: its order, its errors, and its end with the process that began it."""

import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from training.errors import DataError, TrainingError
from training.selection.side_by_side import SideBySide


def touch(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(str(os.getpid()))
    new.rename(path)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.005)


def refuse() -> None:
    raise DataError("column 'age'")


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether a process ends within seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and is_running(pid):
        time.sleep(0.01)
    return not is_running(pid)


def test_functions_run_at_the_same_time_and_the_first_that_ends_is_told_first(
    tmp_path: Path,
) -> None:
    with SideBySide(2) as running:
        running.start(0, partial(wait_for, tmp_path / "one"))
        assert not running.is_full
        running.start(1, partial(touch, tmp_path / "two"))
        assert running.is_full
        assert running.wait() == 1
        assert int((tmp_path / "two").read_text()) != os.getpid()
        running.start(2, partial(touch, tmp_path / "one"))
        assert sorted([running.wait(), running.wait()]) == [0, 2]


def test_one_at_a_time_runs_here(tmp_path: Path) -> None:
    with SideBySide(1) as running:
        running.start(3, partial(touch, tmp_path / "one"))
        assert running.is_full
        assert running.wait() == 3
    assert int((tmp_path / "one").read_text()) == os.getpid()


def test_an_error_is_raised_here_and_ends_the_others(tmp_path: Path) -> None:
    with SideBySide(2) as running:
        running.start(0, partial(wait_for, tmp_path / "never"))
        ((_, other),) = running.running.values()
        running.start(1, refuse)
        with pytest.raises(DataError, match="column 'age'") as raised:
            running.wait()
    assert "in refuse" in raised.value.__notes__[0]
    assert other.exitcode == -signal.SIGKILL


def test_a_process_that_is_killed_is_an_error_that_says_so(tmp_path: Path) -> None:
    with SideBySide(2) as running:
        running.start(0, partial(wait_for, tmp_path / "never"))
        ((_, process),) = running.running.values()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(TrainingError, match=r"ended from outside \(signal 9\)"):
            running.wait()


def touch_and_wait(folder: Path) -> None:
    touch(folder / "child")
    wait_for(folder / "never")


def begin_one_and_wait(folder: Path) -> None:
    # a job in the background of a shell, as a test run may be, ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with SideBySide(2) as running:
        running.start(0, partial(touch_and_wait, folder))
        running.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_one_that_began_them(tmp_path: Path, number: int) -> None:
    parent = multiprocessing.get_context("fork").Process(
        target=begin_one_and_wait, args=(tmp_path,)
    )
    parent.start()
    wait_for(tmp_path / "child")
    child = int((tmp_path / "child").read_text())
    assert is_running(child)
    assert parent.pid is not None
    os.kill(parent.pid, number)
    assert ends(parent.pid)
    assert ends(child)
    parent.join()
