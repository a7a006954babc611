"""Progress is written over on a terminal, and has lines of its own in a log."""

import io
import sys

import pytest

from training.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("line", [None, 1])
def test_a_log_has_each_state_on_a_line_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, line: int | None
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress_bar(range(3), line, desc="moons") as bar:
        assert log.getvalue().count("\n") == 1  # said before it is closed
        list(bar)
    lines = log.getvalue().splitlines()
    assert all(each.startswith("moons:") for each in lines)
    assert "0/3" in lines[0]
    assert "3/3" in lines[-1]
    assert not set("\r\x1b") & set(log.getvalue())


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    list(progress_bar(range(3), desc="moons"))
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().count("\r") >= 2
