"""Times are recognised in the forms that people write, and come back in the same."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tables.dates import CLOCKS, DATES, form_of, is_form, seconds_of, texts_of
from tests.helpers.examples import examples

FORMS = [
    date + between + clock
    for date in DATES
    for between in "T "
    for clock in ("", *CLOCKS)
    if bool(clock) == bool(between)
] + list(DATES)


@examples(40)
@given(st.sampled_from(FORMS), st.lists(st.integers(-(10**9), 4 * 10**9), min_size=1, max_size=5))
def test_what_python_writes_in_a_form_is_read_in_it(form: str, moments: list[int]) -> None:
    times = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=s) for s in moments]
    texts = [time.strftime(form) for time in times]
    assert is_form(form)
    seconds = seconds_of(texts, form)
    assert not np.isnan(seconds).any()
    assert texts_of(seconds, form) == texts
    # what is recognised reads the same texts, if days and months can be told apart
    found = form_of(texts)
    assert found is not None
    assert np.isfinite(seconds_of(texts, found[0])).all()
    if not found[1]:
        np.testing.assert_array_equal(seconds_of(texts, found[0]), seconds)


@pytest.mark.parametrize(
    ("texts", "form", "said"),
    [
        (["2026-01-01T12:34"], "%Y-%m-%dT%H:%M", ""),
        (["2026-01-01 12:34:56.5", "2026-01-01 12:34"], "%Y-%m-%d %H:%M:%S.%f", ""),
        (["2026-01-01T12:34Z"], "%Y-%m-%dT%H:%M%z", ""),
        (["2026-01-01 05", "2026-01-01 23"], "%Y-%m-%d %H:%M", ""),
        (["2026-01-01 05:00:00+00"], "%Y-%m-%d %H:%M:%S%z", ""),
        (["16/12/2006", "01/12/2006"], "%d/%m/%Y", ""),
        (["12/16/2006", "12/01/2006"], "%m/%d/%Y", ""),
        (["01/02/2006", "12/02/2006"], "%d/%m/%Y", "could be %m/%d/%Y"),
        (["7 Jan 2026"], "%d %b %Y", ""),
        (["12:34"], "%H:%M", ""),
    ],
)
def test_forms_are_recognised(texts: list[str], form: str, said: str) -> None:
    found = form_of(texts)
    assert found is not None
    assert found[0] == form
    assert said in found[1]
    assert bool(said) == bool(found[1])


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "1.5",
        "DE",
        "2026-13-01",
        "2026-02-30",
        "25:00",
        "1-2",
        "",
        "12.5.3",
        "a 1:00",
        "2026-01-01 5",
        "2026-01-01 24",
        "01/01/2026 05",
        "2026-01-01 05:00+2",
    ],
)
def test_other_texts_are_no_times(text: str) -> None:
    assert form_of([text]) is None


def test_zones_may_be_whole_hours() -> None:
    same = ["2026-01-01 10:30+0530", "2026-01-01 05:00+00", "2026-01-01 02-03", "2026-01-01T05Z"]
    assert len(set(seconds_of(same, "%Y-%m-%d").tolist())) == 1


def test_half_past_noon_is_read_on_any_clock() -> None:
    noon = ["2026-01-01 12:30 PM", "2026-01-01 12:30", "2026-01-01 13:30+01:00"]
    assert len(set(seconds_of(noon, "%Y-%m-%d").tolist())) == 1
    midnight = seconds_of(["2026-01-01 12:30 am", "2026-01-01 00:30"], "%Y-%m-%d")
    assert midnight[0] == midnight[1]


@pytest.mark.parametrize("form", ["%Y", "%d/%m/%Y%H:%M", "", "T%H:%M", "%s", "%H:%M%z extra"])
def test_other_forms_are_none(form: str) -> None:
    assert not is_form(form)
