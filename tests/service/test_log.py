"""What callers can make a server write to its log."""

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.log import MAX_KINDS, MAX_LINE, MAX_TRACEBACK, BrokenOffError, Log, escaped


class Written:
    """A log whose lines are kept, with a clock that stands."""

    def __init__(self, seconds: float = 60) -> None:
        self.stream, self.now = io.StringIO(), 1000.0
        self.observed: list[tuple[str, bool]] = []
        self.log = Log(seconds, self.stream, lambda: self.now)
        self.log.observe = lambda level, written: self.observed.append((level, written))
        self.logger = logging.Logger("service.tests")
        self.logger.addHandler(self.log)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def raised(error: Exception) -> Exception:
    """An exception with a traceback."""
    try:
        raise error
    except Exception as same:
        return same


@given(st.text(max_size=20))
def test_a_text_of_any_characters_is_one_line_that_says_only_what_it_holds(text: str) -> None:
    written = Written()
    written.logger.error("refused %s", text)
    (line,) = written.stream.getvalue().split("\n")[:-1]
    assert line.isprintable()
    assert line.split(" ERROR ", 1)[1] == f"refused {escaped(text)}"
    assert escaped(text) == text or not text.isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n2026-01-01 INFO loaded", r"a\n2026-01-01 INFO loaded"),
        ("\x1b[2J\r", r"\x1b[2J\r"),
        ("\u2028\u202eevil\x85", r"\u2028\u202eevil\x85"),
        ("\udc80\0", r"\udc80\x00"),
        ("größer als x ∈ 日本", "größer als x ∈ 日本"),
    ],
)
def test_what_could_forge_or_hide_a_line_is_shown(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_traceback_is_indented_whatever_its_error_says() -> None:
    written = Written()
    written.logger.error("failed", exc_info=raised(ValueError("x\n2026-01-01 INFO all is well")))
    first, *rest = written.lines
    assert first.endswith("ERROR failed")
    assert all(line.startswith("    ") for line in rest)
    assert any("all is well" in line for line in rest)


@pytest.mark.parametrize("size", [10**6])
def test_lines_and_tracebacks_have_an_end(size: int) -> None:
    written = Written()
    written.logger.error("%s", "x" * size, exc_info=raised(ValueError("y\n" * size)))
    assert len(written.stream.getvalue()) < MAX_LINE + 4 * MAX_TRACEBACK


def test_one_of_a_kind_is_written_and_the_others_are_counted() -> None:
    written = Written()
    for i in range(1000):
        written.logger.warning("an answer is broken off: %s", i, extra={"kind": "broken off"})
    assert len(written.lines) == 1
    assert written.observed == [("WARNING", True)] + [("WARNING", False)] * 999
    written.now += 61
    written.logger.warning("an answer is broken off: %s", "again", extra={"kind": "broken off"})
    assert written.lines[1].endswith("broken off: again (999 more like this in 61 s)")


def test_a_count_is_said_when_its_time_has_passed_and_at_the_end() -> None:
    written = Written()
    for _ in range(3):
        written.logger.error("refused %s", "moons")
    written.log.say_counts()
    assert len(written.lines) == 1
    written.now += 60
    written.log.say_counts()
    written.log.say_counts()
    assert [line.split(" ERROR ")[1] for line in written.lines] == [
        "refused moons",
        "refused moons (2 more like this in 60 s)",
    ]
    for _ in range(2):
        written.logger.error("refused %s", "moons")
    written.log.say_counts(at_end=True)
    assert len(written.lines) == 4


def test_errors_of_one_place_are_one_kind_whatever_they_say() -> None:
    written = Written()
    for i in range(20):
        error = raised(ValueError(str(i)))
        written.logger.error("request %s failed", i, exc_info=error)
    assert sum("Traceback" in line for line in written.lines) == 1
    other = ValueError("from elsewhere")
    try:
        raise other
    except ValueError:
        written.logger.exception("request failed")
    assert sum("Traceback" in line for line in written.lines) == 2


def test_what_differs_in_its_first_argument_is_told_apart_up_to_a_bound() -> None:
    written = Written()
    for i in range(10 * MAX_KINDS):
        written.logger.info("loaded %s", i)
    assert MAX_KINDS < len(written.lines) <= MAX_KINDS + 1
    assert len(written.log._kinds) <= MAX_KINDS + 1
    written.now += 60
    written.log.say_counts()
    assert written.log._kinds == {}
    assert "more like this" in written.lines[-1]


def test_what_has_been_said_where_it_happened_is_not_said_again() -> None:
    written = Written()
    written.logger.error("Exception in ASGI application", exc_info=raised(BrokenOffError()))
    assert written.lines == []


def test_every_record_is_written_where_no_time_is_set() -> None:
    written = Written(seconds=0)
    for _ in range(5):
        written.logger.error("refused")
    assert len(written.lines) == 5


def test_a_record_that_cannot_be_put_together_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    written = Written()
    for _ in range(2):
        written.logger.error("%d of %s", "x")
    written.logger.error("and on")
    assert written.lines[-1].endswith("and on")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    yield logger
    logging.captureWarnings(False)
    logger.handlers[:], _ = before
    logger.setLevel(before[1])


def test_every_logger_of_the_process_passes_the_log(root: logging.Logger) -> None:
    written = Written()
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    logging.getLogger("uvicorn").propagate = False
    written.log.install()
    assert root.handlers == [written.log]
    for name in ("uvicorn.error", "asyncio", "service.store", "py.warnings"):
        logging.getLogger(name).warning("Invalid HTTP request received.")
        logging.getLogger(name).warning("Invalid HTTP request received.")
    assert len(written.lines) == 4
