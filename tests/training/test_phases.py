"""Parts of a command say what is done now on a terminal, and how long they took in a log."""

import sys
import time

import pytest

from training.progress import CLEARED, phase, say_where

Capsys = pytest.CaptureFixture[str]


class Clock:
    """Stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_log_has_a_line_for_each_part_that_took_long(clock: Clock, capsys: Capsys) -> None:
    with phase("evaluation"):
        say_where("256 of 10,000 rows")
        clock.now += 61.5
        with phase("a part of it"):
            clock.now += 0.9

    def fail() -> None:
        clock.now += 3
        raise ValueError("in vain")

    with pytest.raises(ValueError, match="in vain"), phase("graph"):
        fail()
    assert capsys.readouterr().err == "evaluation: 62.4 s\ngraph: 3.0 s, given up\n"


def test_a_terminal_says_what_is_done_now_on_one_line(
    clock: Clock, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with phase("evaluation"):
        say_where("0 of 10,000 rows")  # so soon after the name nobody could read it
        clock.now += 1
        say_where("256 of 10,000 rows")
        clock.now += 1
    with phase("writing"):
        clock.now += 0.1
    assert capsys.readouterr().err.split(CLEARED) == [
        "",
        "evaluation …",
        "evaluation, 256 of 10,000 rows …",
        "evaluation: 2.0 s\n",
        "writing …",
        "",
    ]


def test_outside_of_parts_nothing_is_said(capsys: Capsys) -> None:
    say_where("1 of 2 rows")
    assert capsys.readouterr().err == ""
