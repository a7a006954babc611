"""The profiles of `tests.helpers.examples`."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.examples import DEEPER, USUAL, examples


@pytest.fixture
def profile(request: pytest.FixtureRequest) -> Iterator[str]:
    """Load the profile that the test names, and afterwards the one that was."""
    before = settings.get_current_profile_name()
    settings.load_profile(request.param)
    yield request.param
    settings.load_profile(before)


def drawn(count: int) -> list[int]:
    """What a test that sees `count` examples sees."""
    values: list[int] = []

    @examples(count)
    @given(st.integers(0, 2**31))
    def see(value: int) -> None:
        values.append(value)

    see()
    return values


@pytest.mark.parametrize("profile", ["repeatable"], indirect=True)
def test_each_run_of_the_suite_draws_the_same_examples(profile: str) -> None:
    assert len(drawn(20)) == 20
    assert drawn(20) == drawn(20)
    assert settings().max_examples == USUAL


@pytest.mark.parametrize("profile", ["repeatable"], indirect=True)
def test_examples_do_not_depend_on_the_modules_that_are_imported(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn(200)
    file = tmp_path / "of_many_numbers.py"
    file.write_text(f"NUMBERS = {[1_000_000_007 + 1000 * i for i in range(50)]}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(file.stem)
    assert drawn(200) == before


@pytest.mark.parametrize("profile", ["deep"], indirect=True)
def test_a_deep_run_draws_others_and_more_of_each_test(profile: str) -> None:
    assert len(drawn(2)) == 2 * DEEPER
    assert drawn(2) != drawn(2)
    assert settings().max_examples == USUAL * DEEPER
