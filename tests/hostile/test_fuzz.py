"""The fuzzer for a moment, what it has found before, and that it notices what it looks for."""

import time
from pathlib import Path

import pytest

from service.errors import MalformedBodyError
from tests.helpers import parsers
from tests.helpers.parsers import PARSERS, Parser
from tests.hostile.fuzz import page, tasks_of
from tests.hostile.fuzzing import finds, run
from tests.hostile.fuzzing.run import Board, Find, Report, Task, run_task

FINDS = sorted(finds.FOLDER.glob("*.bin"))
MAX_SECONDS = 10
"""Of one find, on a machine that does other work too: those that were slow took longer."""


@pytest.mark.parametrize("name", PARSERS)
def test_inputs_that_are_almost_right_are_read_or_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MAX_SECONDS", MAX_SECONDS)
    assert any(PARSERS[name].seeds), "a parser without seeds cannot be fuzzed"
    report = run_task(Task(name, 0, 100, is_large=False), lambda _: None)
    assert report.finds == []


@pytest.mark.parametrize("path", FINDS, ids=lambda path: path.stem)
def test_what_was_found_before_is_read_or_refused(path: Path) -> None:
    started = time.perf_counter()
    PARSERS[finds.parser_of(path)].accepts(path.read_bytes())
    assert time.perf_counter() - started < MAX_SECONDS


def _refuses(data: bytes) -> object:
    if data.startswith(b"slow"):
        time.sleep(0.02)
    if data.startswith(b"broken"):
        raise ZeroDivisionError("by nothing")
    raise MalformedBodyError("nothing is read")


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> str:
    """A parser that is slow, or breaks, as its input says."""
    monkeypatch.setitem(parsers.PARSERS, "odd", Parser(_refuses, (b"fine",)))
    monkeypatch.setattr(run, "MAX_SECONDS", 0.01)
    return "odd"


@pytest.mark.parametrize(
    ("seed", "what"), [(b"slow", "took"), (b"broken", "ZeroDivisionError at test_fuzz.py:_refuses")]
)
def test_slow_and_broken_parsers_are_found(
    odd: str, seed: bytes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "mutated", lambda *_: seed)
    (found,) = run_task(Task(odd, 0, 3, is_large=False), lambda _: None).finds
    assert found.what.startswith(what)
    assert found.data == seed


def test_a_parser_without_seeds_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parsers.PARSERS, "bare", Parser(len, (b"",)))
    with pytest.raises(ValueError, match="bare has no seeds"):
        run_task(Task("bare", 0, 3, is_large=False), lambda _: None)


def test_a_task_is_the_same_again() -> None:
    task = Task("json /log_prob", 3, 20, is_large=False)
    assert list(task.make()) == list(task.make())
    assert all(len(data) <= 4096 for data in task.make())


def test_tasks_are_as_many_inputs_as_asked_for() -> None:
    tasks = tasks_of(100_001, 500)
    assert sum(task.inputs for task in tasks if not task.is_large) == 100_001
    assert sum(task.inputs for task in tasks if task.is_large) == 500
    assert {task.parser for task in tasks} == set(PARSERS)


def test_a_board_shows_the_last_input(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    for data in (b"first", b"second one"):
        board.write(data)
    other = Board(tmp_path / "board")
    assert (other.count, other.data) == (2, b"second one")


def test_finds_are_kept_with_their_parser(tmp_path: Path) -> None:
    path = finds.keep(Find("v2 infer", "broke", b"\0data"), tmp_path)
    assert path.read_bytes() == b"\0data"
    assert finds.parser_of(path) == "v2 infer"


def test_the_page_counts_finds_once() -> None:
    task = Task("gzip", 0, 10, is_large=False)
    report = Report(task, accepted=5, finds=[Find("gzip", "broke", b"a")] * 2)
    line = "| gzip | 10 | 0 | 50.0% | 0 | 0 | 1 |"
    assert line in page([report], 1.0, 1)
