"""Durations are numbers of seconds, in whatever form people write them, and come back in it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.tables import (
    DatetimeColumn,
    Decision,
    LatticeColumn,
    NumericColumn,
    Overrides,
    RawTable,
    decide,
    from_values,
    to_rows,
    to_values,
)
from service.tables.durations import DURATIONS, duration_texts, durations_of
from tests.helpers.examples import examples

RNG = np.random.default_rng(0)
BESIDE = RNG.normal(size=200)


@examples(60)
@given(st.sampled_from(list(DURATIONS)), st.integers(-(10**15), 10**15), st.integers(0, 9))
def test_what_is_written_in_a_form_is_read_in_it(form: str, count: int, places: int) -> None:
    seconds = np.array([count / 10**places])
    (text,) = duration_texts(seconds, form)
    assert durations_of([text, f" {text} "], form).tolist() == [seconds[0]] * 2


@examples(60)
@given(st.integers(-(10**11), 10**11))
def test_what_python_writes_is_read(microseconds: int) -> None:
    duration = timedelta(microseconds=microseconds)
    texts = [str(duration)]  # as in -1 day, 23:59:59.500000
    assert durations_of(texts, "%d days %H:%M:%S").tolist() == [duration.total_seconds()]


@pytest.mark.parametrize(
    ("text", "form", "seconds"),
    [
        ("1:23:45", "%H:%M:%S", 5025.0),
        ("-0:00:00.25", "%H:%M:%S", -0.25),
        ("2 days 03:00:00", "%d days %H:%M:%S", 183600.0),
        ("1 day", "%d days %H:%M:%S", 86400.0),
        ("-1 days -01:00:00", "%d days %H:%M:%S", -90000.0),
        ("91:42.5", "%M:%S", 5502.5),
        ("38:30", "%H:%M", 138600.0),
        ("-P1DT2H0.5S", "P%dDT%HH%MM%SS", -93600.5),
        ("PT90M", "P%dDT%HH%MM%SS", 5400.0),
    ],
)
def test_forms_are_read(text: str, form: str, seconds: float) -> None:
    assert durations_of([text], form).tolist() == [seconds]


@pytest.mark.parametrize(
    "text", ["", "1:60:00", "1:00:60", "12", "P", "PT", "T1H", "days", "1:2:3"]
)
def test_other_texts_are_no_durations(text: str) -> None:
    assert all(np.isnan(durations_of([text], form)).all() for form in DURATIONS)


def clocks(seconds: Sequence[float] | Any, form: str = "%H:%M:%S") -> list[str]:
    return duration_texts(np.asarray(seconds, np.float64), form)


LONG = np.floor(RNG.gamma(2, 60000, 200))
SHORT = np.floor(RNG.gamma(2, 600, 200))

# texts, the kind of their column, the form, and words of a note
TEXTS: dict[str, tuple[list[str], str, str | None, str]] = {
    "beyond a day": (clocks(LONG), "lattice", "%H:%M:%S", ""),
    "negative ones": (clocks(-LONG), "lattice", "%H:%M:%S", ""),
    "days": (clocks(SHORT, "%d days %H:%M:%S"), "lattice", "%d days %H:%M:%S", ""),
    "as Python has them": (
        [str(timedelta(seconds=s)) for s in LONG.tolist()],
        "lattice",
        "%d days %H:%M:%S",
        "",
    ),
    "of ISO 8601": (clocks(SHORT, "P%dDT%HH%MM%SS"), "lattice", "P%dDT%HH%MM%SS", ""),
    "minutes": (clocks(LONG, "%M:%S"), "lattice", "%M:%S", "could be %H:%M"),
    "fractions of minutes": (clocks(SHORT + 0.5, "%M:%S"), "lattice", "%M:%S", ""),
    "fractions": (clocks(LONG + RNG.random(200)), "numeric", "%H:%M:%S", ""),
    "short ones": (clocks(SHORT), "lattice", "%H:%M:%S", "are taken for durations"),
    "gaps": ([*clocks(LONG)[:190], *["", "-"] * 5], "lattice", "%H:%M:%S", ""),
    "times of day": (clocks(RNG.integers(0, 86400, 200)), "datetime", None, ""),
    "two of them": (["30:00:00", "40:00:00"] * 100, "lattice", "%H:%M:%S", ""),
    "numbers of rows": (clocks(np.arange(90000, 90200)), "lattice", "%H:%M:%S", ""),
}


def decided(texts: list[str], **kinds: str) -> Decision:
    columns = {
        "a": from_values([text or None for text in texts]),
        "x": from_values(BESIDE.tolist()),
    }
    return decide(RawTable(columns, len(texts), "line {}".format), Overrides(kinds=kinds))


@pytest.mark.parametrize("case", TEXTS)
def test_texts_are_durations_or_times_and_come_back_as_they_were(case: str) -> None:
    texts, kind, form, note = TEXTS[case]
    found = decided(texts)
    assert not found.problems
    column = found.columns[0]
    assert (column.name, column.kind, getattr(column, "duration", None)) == ("a", kind, form)
    assert bool(found.notes) == bool(note)
    assert note in " ".join(found.notes)
    raw = {"a": from_values([text or None for text in texts])}
    converted = to_rows(raw, [column])
    assert not converted.faults
    again = to_rows({"a": from_values(to_values(converted.rows, [column])["a"])}, [column])
    np.testing.assert_array_equal(again.rows, converted.rows)
    if note:  # what the recipe then says is decided without a doubt
        sure = decided(texts, **found.pinned)
        assert sure.columns[0] == column
        assert not sure.notes


def test_the_user_says_what_texts_are() -> None:
    of_day = TEXTS["times of day"][0]
    kinds = {
        kind: decided(of_day, a=kind).columns[0] for kind in ("duration", "numeric", "datetime")
    }
    assert isinstance(kinds["duration"], LatticeColumn)
    assert isinstance(kinds["numeric"], NumericColumn)
    assert isinstance(kinds["datetime"], DatetimeColumn)
    assert kinds["duration"].duration == kinds["numeric"].duration == "%H:%M:%S"
    hours = decided(TEXTS["minutes"][0], a="duration %H:%M").columns[0]
    assert isinstance(hours, LatticeColumn)
    assert (hours.duration, hours.step) == ("%H:%M", 60.0)
    for texts, kind, said in (
        (of_day, "duration %Y", "'%Y' is no form of them: the forms are %H:%M:%S"),
        (["a", "b"] * 100, "duration", "its values are none"),
        (of_day, "duration %M:%S", "is no duration of the form %M:%S"),
    ):
        assert said in decided(texts, a=kind).problems[0]


def test_what_is_no_duration_is_a_problem_by_its_row() -> None:
    texts = clocks(LONG)
    texts[7] = "an hour"
    assert "line 7: 'an hour' is no duration of the form %H:%M:%S" in decided(texts).problems[0]
    # one time beyond midnight makes no durations of times of day
    texts = clocks(RNG.integers(0, 86400, 200))
    texts[7] = "24:00:00"
    assert (
        "line 7: '24:00:00' is no time of the form %H:%M:%S (kind duration"
        in (decided(texts).problems[0])
    )
    assert not decided(texts, a="duration").problems


def test_requests_have_texts_or_seconds() -> None:
    column = LatticeColumn(name="a", low=0, high=1e6, step=60, duration="%H:%M:%S")
    values = ["1:01:00", 3660, "3660", 3660.0]
    assert to_rows({"a": from_values(values)}, [column]).rows.tolist() == [[3660.0]] * 4
    wrong: list[Any] = ["1:01:01", "61 min", True, "1:01", 61, None]
    converted = to_rows({"a": from_values(wrong)}, [column])
    assert converted.faulty.all()
    expected = "expected a duration such as '00:00:00' or its seconds, a multiple of 60 s"
    assert str(converted.faults[0]) == f"column 'a': {expected}, got '1:01:01'"


def test_a_column_of_other_numbers_is_written_as_before() -> None:
    plain = NumericColumn(name="a", low=0, high=1)
    assert "duration" not in plain.model_dump()
    assert "duration" not in plain.model_dump_json()
    of_seconds = NumericColumn(name="a", low=0, high=1, duration="%M:%S")
    assert NumericColumn.model_validate_json(of_seconds.model_dump_json()) == of_seconds
    with pytest.raises(ValidationError, match="expected a form of durations"):
        NumericColumn(name="a", low=0, high=1, duration="%M")
