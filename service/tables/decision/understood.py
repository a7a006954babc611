"""What is known of the values of a column, and what is said of one that is of no kind."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Word


class Fault(Exception):  # noqa: N818  it is said of a column, together with those of others
    """Why a column is of no kind, and the row of the value that is why."""

    def __init__(self, text: str, row: int) -> None:
        super().__init__(text)
        self.row = row


@dataclass(frozen=True)
class Understood:
    """The values of a column.

    Args:
        form: what they are.
        values: N; numbers or seconds with NaN where missing, or codes with −1 where missing.
        words: of codes; text, truth values or numbers.
        single: whether the numbers are float32.
        exact: N, the numbers as they came, where that was as float32, or as whole numbers that
            float64 rounds; None where these are `values`.
        is_closed: whether there can be no other classes: of truth values.
        time_form: of times, see `dates.is_form`.
        duration: of numbers that are written as durations, one of `durations.DURATIONS`.
        note: what could be otherwise, for people.
        pinned: the kind that an override would name to make sure of it; empty where nothing is
            doubtful.
    """

    form: Literal["numbers", "times", "classes"]
    values: NDArray[np.generic]
    words: tuple[Word, ...] = ()
    single: bool = False
    exact: NDArray[np.generic] | None = None
    is_closed: bool = False
    time_form: str = ""
    duration: str | None = None
    note: str = ""
    pinned: str = ""

    @property
    def came_single(self) -> bool:
        """Whether the numbers came as float32."""
        return self.exact is not None and self.exact.dtype == np.float32

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Whether a value is missing, N."""
        if self.form == "classes":
            return self.values < 0  # type: ignore[operator,no-any-return]
        return np.isnan(self.values.astype(np.float64))
