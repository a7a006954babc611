"""Rows of a request that have no answer: all are named, or passed over while the others go on."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import ServiceError
from service.types import Arrays

# Rows of an error by number, by number and reason, and within its text.
MAX_ROWS_LISTED = 1000
MAX_ROWS_DESCRIBED = 10
MAX_ROWS_NAMED = 10

# Of a row without an answer, where an answer is a number of something, such as of a member.
MISSING_WHOLE = -1


class RowError(NamedTuple):
    """Why a row has no answer.

    Args:
        row: its number in the request.
        reason: the word of `ServiceError.reason`.
        detail: for people.
        column: its name or number, where one is to blame.
    """

    row: int
    reason: str
    detail: str
    column: str | int | list[int] | None = None


class Fault(NamedTuple):
    """What is wrong with a row: for people, and what else programs are told of it."""

    detail: str
    extra: dict[str, Any]


class RowFaults:
    """The rows of one request that have no answer.

    Without `partial` the first check that finds some refuses the request and names all that it has
    found. With it they are kept in mind, and have NaN in the answer.

    Args:
        count: rows of the request.
        partial: whether the others are to be answered.
        most_listed: rows of which the errors are kept.
    """

    __slots__ = ("_errors", "_faulty", "_is_partial", "_kept", "_most_listed", "count")

    def __init__(
        self, count: int, partial: bool = False, most_listed: int = MAX_ROWS_LISTED
    ) -> None:
        self.count = count
        self._most_listed = most_listed
        self._is_partial = partial
        self._faulty: NDArray[np.bool_] | None = None
        self._kept: NDArray[np.intp] | None = None
        self._errors: list[RowError] = []

    def check(
        self,
        faulty: NDArray[np.bool_],
        error: type[ServiceError],
        describe: Callable[[int, int], Fault],
    ) -> None:
        """Find rows without an answer.

        Args:
            faulty: of each row that is kept, whether it has none.
            error: which refuses such rows.
            describe: says what is wrong with a row, by its place among those that are kept and its
                number in the request.

        Raises:
            ServiceError: the error, if there are some and the others are not to be answered.
        """
        if not faulty.any():
            return
        places = np.flatnonzero(faulty)
        rows = places if self._kept is None else self._kept[places]
        if not self._is_partial:
            raise _refusal(places, rows, error, describe)
        if self._faulty is None:
            self._faulty = np.zeros(self.count, bool)
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            if len(self._errors) == self._most_listed:
                break
            if not self._faulty[row]:  # a row is named by the first of its faults
                detail, extra = describe(place, row)
                self._errors.append(RowError(row, error.reason, detail, extra.get("column")))
        self._faulty[rows] = True

    @property
    def found(self) -> bool:
        """Whether there are rows without an answer, and the others are answered."""
        return self._faulty is not None

    @property
    def errors(self) -> list[RowError]:
        """What is wrong with the rows that have no answer, by their numbers."""
        return sorted(self._errors, key=lambda error: error.row)

    def count_new(self, faulty: NDArray[np.bool_]) -> int:
        """How many rows have no fault yet, of those that are kept and have one now."""
        if self._faulty is None:
            return int(faulty.sum())
        return int((faulty & ~self.kept(self._faulty)).sum())

    def are_sound(self, rows: NDArray[np.intp]) -> NDArray[np.bool_] | None:
        """Of rows by number, whether they have no fault so far; None where no row has one."""
        return None if self._faulty is None else ~self._faulty[rows]

    def keep_sound(self) -> None:
        """Go on with the rows that have no fault so far."""
        if self._faulty is not None:
            self._kept = np.flatnonzero(~self._faulty)

    def kept(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Those of all rows that are kept."""
        return rows if self._kept is None else rows[self._kept]

    def whole(self, arrays: Arrays) -> Arrays:
        """Answers of the rows that are kept as answers of all, NaN or −1 where a row has none."""
        if self._faulty is None:
            return arrays
        spread: Arrays = {}
        for name, values in arrays.items():
            missing = MISSING_WHOLE if values.dtype.kind == "i" else np.nan
            every = np.full((self.count, *values.shape[1:]), missing, values.dtype)
            every[slice(None) if self._kept is None else self._kept] = values
            every[self._faulty] = missing
            spread[name] = every
        return spread

    def spread(self, values: Sequence[Any]) -> list[Any]:
        """What is said of each row that is kept as what is said of all, None of the others."""
        if self._faulty is None:
            return list(values)
        every: list[Any] = [None] * self.count
        numbers = range(self.count) if self._kept is None else self._kept.tolist()
        for row, value in zip(numbers, values, strict=True):
            every[row] = None if self._faulty[row] else value
        return every

    def remarks(self) -> dict[str, Any]:
        """What an answer says of its rows that have none."""
        if self._faulty is None:
            return {}
        errors = self.errors
        # where no column is to blame, none is named
        said: dict[str, Any] = {
            "errors": [
                {name: part for name, part in error._asdict().items() if part is not None}
                for error in errors
            ]
        }
        if (count := int(self._faulty.sum())) > len(errors):
            said["error_count"] = count
        return said


def _refusal(
    places: NDArray[np.intp],
    rows: NDArray[np.intp],
    error: type[ServiceError],
    describe: Callable[[int, int], Fault],
) -> ServiceError:
    """The error that names all rows, the first of them in full."""
    described = [
        (row, describe(place, row))
        for place, row in zip(
            places[:MAX_ROWS_DESCRIBED].tolist(), rows[:MAX_ROWS_DESCRIBED].tolist(), strict=True
        )
    ]
    first, fault = described[0]
    count, listed = len(rows), rows[:MAX_ROWS_LISTED].tolist()
    detail, extra = fault.detail, {"row": first, **fault.extra, "rows": listed}
    if count > 1:
        more = ", …" if count > MAX_ROWS_NAMED else ""
        detail += f"; {count} such rows: {', '.join(map(str, listed[:MAX_ROWS_NAMED]))}{more}"
        extra["errors"] = [{"row": row, "detail": each.detail} for row, each in described]
    if count > len(listed):
        extra["row_count"] = count
    return error(detail, **extra)
