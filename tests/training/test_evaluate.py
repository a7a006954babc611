"""Held-out rows without a finite log-density are named."""

import numpy as np
import pytest

from training.data import Dataset
from training.data.dataset import Split
from training.errors import NonFiniteError
from training.evaluate import check_finite


@pytest.mark.parametrize("count", [0, 1, 10, 11])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_ten_rows_without_a_finite_log_density_are_named(
    count: int, value: float
) -> None:
    rows = Split(np.zeros((30, 2), np.float32), None)
    dataset = Dataset(
        name="rows",
        sha256="0" * 64,
        integer=np.zeros(2, bool),
        low=np.zeros(2),
        high=np.ones(2),
        train=rows,
        validation=rows,
        test=rows,
    )
    scores = np.zeros(30)
    scores[5 : 5 + count] = value
    if not count:
        check_finite(scores, dataset, rows, "the mixture")
        return
    with pytest.raises(NonFiniteError) as refused:
        check_finite(scores, dataset, rows, "the mixture")
    named = ", ".join(f"row {row}" for row in range(5, 5 + min(count, 10)))
    assert str(refused.value).startswith(
        f"the mixture: {count} of 30 held-out rows have no finite log-density: {named}"
    )
    assert (", …" in str(refused.value)) == (count > 10)
