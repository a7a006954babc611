"""The step of a lattice is found in any unit, and none where there is none."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.tables.columns import Float64, on_lattice
from service.tables.decision.steps import find_step
from tests.helpers.examples import examples


@examples(60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 5.0, 0.1, 0.5, 0.01, 0.25, 1 / 7, 1 / 255, 90.0]),
    st.floats(1e-3, 1e3),
    st.booleans(),
    st.integers(6, 300),
)
@example(4, 1 / 255, 0.022723844989269184, False, 6)  # the least multiple is 511
def test_the_step_is_found_in_any_unit_and_from_any_origin(
    seed: int, step: float, unit: float, shifted: bool, count: int
) -> None:
    rng = np.random.default_rng(seed)
    multiples = np.unique(rng.integers(0, 10 ** rng.integers(1, 5), count))
    if len(multiples) < 6:
        return
    scale = step * unit
    origin = 3.7 * scale * shifted
    values: Float64 = (multiples * scale + origin).astype(np.float64)
    found = find_step(values)
    assert found is not None
    expected = scale * np.gcd.reduce(np.diff(multiples))
    assert found.step == pytest.approx(expected, rel=1e-6)
    assert 0 <= found.origin < found.step * (1 + 1e-9)
    np.testing.assert_allclose(on_lattice(values, *found), values, rtol=1e-7, atol=1e-6 * scale)


@examples(40)
@given(st.integers(0, 2**32 - 1), st.integers(6, 200), st.booleans())
def test_none_is_found_among_real_numbers(seed: int, count: int, single: bool) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    if single:
        values = values.astype(np.float32).astype(np.float64)
    assert find_step(np.unique(values), single) is None


def test_decimal_numbers_are_written_as_they_are_read() -> None:
    values = np.array([0.1, 0.3, 0.7, 1.1])
    found = find_step(values)
    assert found == (0.2, 0.1)
    assert on_lattice(np.array([0.30000000000000004]), 0.1).tolist() == [0.3]


def test_float32_and_printed_digits_hide_no_step() -> None:
    multiples = np.arange(3, 400, 7)
    single = (multiples * 0.002).astype(np.float32).astype(np.float64)
    assert find_step(single, single=True) == (0.014, 0.006)
    standardized = np.array([float(f"{(k - 121.3) / 57.1:.8g}") for k in multiples])
    found = find_step(standardized)
    assert found is not None
    assert found.step == pytest.approx(7 / 57.1, rel=1e-6)


def test_one_value_of_many_is_not_overlooked() -> None:
    values = np.arange(10**5).astype(np.float64)
    values[77_777] += 0.5
    assert find_step(values) == (0.5, 0.0)
    values[77_777] += np.pi / 10
    assert find_step(values) is None


def test_a_value_off_the_step_between_far_neighbours_is_not_overlooked() -> None:
    values = np.cumsum(np.random.default_rng(0).integers(3, 9, 50_000)).astype(np.float64)
    values[0] = values[1] - 1
    assert find_step(values) == (1.0, 0.0)
    values[40_001] += np.pi / 10
    assert find_step(values) is None


def test_steps_are_as_exact_as_the_values() -> None:
    assert find_step((np.arange(0, 700, 3) / 93).astype(np.float64)) == (3 / 93, 0.0)
    standardized: Float64 = ((np.arange(3, 400, 7) - 121.3) / 57.1).astype(np.float64)
    found = find_step(standardized)
    assert found is not None
    assert found.step == pytest.approx(7 / 57.1, rel=1e-13)


def test_whole_numbers_are_compared_exactly() -> None:
    values = np.array([0.0, 3.0, 2.0**53])
    assert find_step(values) == (1.0, 0.0)
