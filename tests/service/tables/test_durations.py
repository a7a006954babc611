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

UNITS = "%dd %Hh %Mm %Ss"

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
        ("2d 03:04:05", "%d days %H:%M:%S", 183845.0),
        ("-1d 23:00:00", "%d days %H:%M:%S", -3600.0),
        ("1h 23m", UNITS, 4980.0),
        ("1 h 23 min", UNITS, 4980.0),
        ("-1h23m45.5s", UNITS, -5025.5),
        ("1 Hour, 2 Minutes and 3 secs", UNITS, 3723.0),
        ("2 days 3hrs", UNITS, 183600.0),
        ("90s", UNITS, 90.0),
        ("0.1h", UNITS, 360.0),
        ("1.5 ms", UNITS, 0.0015),
        ("1s 20µs 3ns", UNITS, 1.000020003),
        # of other forms, of which there is no doubt
        ("PT1H23M", "%M:%S", 4980.0),
        ("1h 23m", "%H:%M:%S", 4980.0),
        ("2 days 00:00:01", UNITS, 172801.0),
        ("01:23:45", "%M:%S", 5025.0),
    ],
)
def test_forms_are_read(text: str, form: str, seconds: float) -> None:
    assert durations_of([text], form).tolist() == [seconds]


@pytest.mark.parametrize(
    "text",
    [
        "", "1:60:00", "1:00:60", "12", "P", "PT", "T1H", "days", "1:2:3", "h", "5M", "5 D", "1w",
        "1.5h 20m", "1h -5m", "5m 1h", "1m 1m", "1h,", "14h30", "5ft 3in", "0.5ns", "1,5h", "P1M",
        "2d 3:04", "1m" + 100 * " " + "1s",
    ],
)  # fmt: skip
def test_other_texts_are_no_durations(text: str) -> None:
    assert all(np.isnan(durations_of([text], form)).all() for form in DURATIONS)


def clocks(seconds: Sequence[float] | Any, form: str = "%H:%M:%S") -> list[str]:
    return duration_texts(np.asarray(seconds, np.float64), form)


LONG = np.floor(RNG.gamma(2, 60000, 200))
SHORT = np.floor(RNG.gamma(2, 600, 200))

DAYS = "%d days %H:%M:%S"
# half a second makes it sure that those without hours are minutes
RACES = [text.removeprefix("00:") for text in clocks(np.floor(SHORT * 2) + 0.5)]

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
    "units": (clocks(SHORT, UNITS), "lattice", UNITS, ""),
    "names of units": (
        [f"{s // 60:.0f} min {s % 60:.0f} sec" for s in SHORT.tolist()],
        "lattice",
        UNITS,
        "",
    ),
    "days and clocks": ([f"{i % 9}d 03:00:{i % 60:02d}" for i in range(200)], "lattice", DAYS, ""),
    "several forms": ([*clocks(LONG, UNITS)[:90], *clocks(LONG)[90:]], "lattice", "%H:%M:%S", ""),
    "races": (RACES, "lattice", "%M:%S", ""),
    "seconds": (clocks(np.arange(200) % 59, UNITS), "lattice", UNITS, "'0s', are taken for sec"),
    "minutes by name": ([f"{i % 50} min" for i in range(200)], "lattice", UNITS, ""),
    "few terms": ([f"{5 * (i % 3) + 5} min" for i in range(200)], "categorical", None, ""),
    "few terms of days": ([f"{i % 3 + 1} days" for i in range(200)], "categorical", None, ""),
    "codes": (["5m", "3d", "12h", "7d"] * 50, "categorical", None, ""),
    "many codes": ([f"{i % 9}{'mdhs'[i % 4]}" for i in range(200)], "categorical", None, "of kind"),
    "an odd code": ([*["5m", "3d"] * 100, "1h 5m"], "categorical", None, ""),
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
        (TEXTS["minutes"][0], "duration %H:%M:%S", "is no duration of the form %H:%M:%S"),
        (METRES, "numeric", "'0m', which ends in a unit, is no number"),
        (clocks(LONG), "duration %Q", "'%Q' is no form of them"),
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


METRES = [f"{i % 50}m" for i in range(200)]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (METRES, "line 0: '0m', which ends in a unit, is no number (kind duration takes its values "
                 "for durations), nor are 199 more of 200 values"),
        ([f"{1500 + 10 * (i % 50)}s" for i in range(200)], "'1500s', which ends in a unit"),
        (["45:00", "1:02:03", "24:00:01", "9:10"] * 50, "line 0: '45:00' may be minutes and s"),
    ],
)  # fmt: skip
def test_texts_of_two_meanings_are_refused_until_the_user_says_which(
    texts: list[str], said: str
) -> None:
    assert said in decided(texts).problems[0]
    assert not decided(texts, a="duration %M:%S").problems
    assert not decided(texts, a="categorical").problems


def test_requests_have_texts_or_seconds() -> None:
    column = LatticeColumn(name="a", low=0, high=1e6, step=60, duration="%H:%M:%S")
    values = ["1:01:00", 3660, "3660", 3660.0, "61 min", "1h 1m", "PT61M"]
    assert to_rows({"a": from_values(values)}, [column]).rows.tolist() == [[3660.0]] * 7
    wrong: list[Any] = ["1:01:01", "61 miles", True, "1:01", 61, None]
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
