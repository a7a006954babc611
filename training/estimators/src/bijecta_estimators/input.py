"""What estimators are given: arrays of numbers and data frames, as tables of raw columns."""

from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from service.tables import RawColumn, RawTable, from_array, from_arrow


class Frame(Protocol):
    """A data frame of pandas or polars, or a table of Arrow."""

    @property
    def columns(self) -> Any:
        """Its columns, or their names."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The columns as Arrow has them."""


def read(estimator: BaseEstimator, x: ArrayLike | Frame, min_rows: int | None = None) -> RawTable:
    """The columns by name; those of an array are `x0`, `x1` and so on.

    Args:
        estimator: whose names and number of columns are set at its fit, and checked later.
        x: N × D numbers, NaN where missing, or a data frame with columns of any kind.
        min_rows: at a fit, the fewest rows; None where rows are scored.

    Raises:
        ValueError: too few rows; other columns than at the fit; an array that holds no numbers, or
            infinite ones.
    """
    is_fit = min_rows is not None
    if hasattr(x, "__arrow_c_stream__") and hasattr(x, "columns"):
        validate_data(estimator, x, reset=is_fit, skip_check_array=True)
        frame = pa.table(x)
        if frame.num_rows < (min_rows or 1):
            raise ValueError(f"{frame.num_rows} rows: expected a minimum of {min_rows or 1}")
        named: dict[str, RawColumn] = {}
        # an index of pandas follows the columns
        for name, column in zip(_names(estimator), frame.columns, strict=False):
            named |= from_arrow(name, column)
        return RawTable(named, frame.num_rows)
    values = validate_data(
        estimator,
        x,
        dtype=np.float64,
        reset=is_fit,
        ensure_min_samples=min_rows or 1,
        ensure_all_finite="allow-nan",
    )
    named = dict(zip(_names(estimator), map(from_array, values.T), strict=True))
    return RawTable(named, len(values), has_names=False)


def _names(estimator: BaseEstimator) -> list[str]:
    numbered = [f"x{i}" for i in range(estimator.n_features_in_)]
    return list(getattr(estimator, "feature_names_in_", numbered))
