"""Whatever a table holds is decided on, and its own values are rows that come back."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.tables import (
    RawTable,
    decide,
    from_array,
    from_columns,
    from_values,
    to_rows,
    to_values,
)
from tests.helpers.examples import examples

WORDS = ["a", "", "NA", "?", "1", "2.5", "2026-01-01", "12:30", "true", "x" * 300, "é", "\x1c3"]

COLUMNS: list[Callable[[np.random.Generator, int], Any]] = [
    lambda rng, n: [WORDS[i] for i in rng.integers(0, len(WORDS), n)],
    lambda rng, n: [[None, True, 1, 2.5, "a", 10**400][i] for i in rng.integers(0, 6, n)],
    lambda rng, n: [f"{d:02d}/{1 + d % 12:02d}/2020" for d in rng.integers(1, 32, n)],
    lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-300, 300),
    lambda rng, n: rng.integers(0, 3, n) * 10.0 ** rng.integers(-20, 20),
    lambda rng, n: rng.integers(-(2**62), 2**62, n),
    lambda rng, n: np.full(n, rng.choice([0.0, -0.0, 1e300, 5e-324, np.nan])),
    lambda rng, n: np.where(rng.random(n) < 0.5, np.nan, rng.normal(size=n)),
    lambda rng, n: rng.choice([1e308, -1e308, 0.0, 1.5], n),
    lambda rng, n: (rng.normal(size=n) * 1e-40).astype(np.float32),
    lambda rng, n: np.datetime64("2000-01-01", "s") + rng.integers(-(10**10), 10**10, n),
    lambda _, n: np.full(n, np.datetime64("NaT", "s")),
    lambda rng, n: np.cumsum(rng.integers(1, 3, n)),
]


@examples(60)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2, 3, 12, 40, 200]),
    st.lists(st.sampled_from(range(len(COLUMNS))), min_size=1, max_size=5),
)
def test_any_table_is_decided_on_and_its_values_come_back(
    seed: int, rows: int, kinds: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    values = [COLUMNS[kind](rng, rows) for kind in kinds]
    table = {
        f"c{i}": from_values(column) if isinstance(column, list) else from_array(column)
        for i, column in enumerate([*values, values[0]])
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decide(RawTable(table, rows))
        others = table.keys() - {column.name for column in found.columns}
        if not found.columns:
            return
        x = to_rows(table, found.columns, left_out=others)
        assert not x.faulty.any(), x.faults
        again = to_rows(from_columns(to_values(x.rows, found.columns)), found.columns)
        assert not again.faulty.any(), again.faults
        np.testing.assert_allclose(again.rows, x.rows, rtol=1e-15, atol=1e-6)
