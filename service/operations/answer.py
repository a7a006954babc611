"""What answers a question: all of it, or pieces of it in turn."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.tables import Column
from service.types import Arrays

# An object of a few texts and numbers takes as long to be written as so many numbers.
NUMBERS_PER_REASON = 64

# To find a score among those of a calibration takes as long as so many numbers elsewhere.
NUMBERS_PER_P_VALUE = 16


@dataclass(frozen=True)
class Answer:
    """Arrays by name, the question's own first, and the seed where one was used.

    Args:
        arrays: of numbers, booleans or text, with a row for each row of the question.
        seed: of the noise, where there was some.
        remarks: what there is to say of single rows, by name, as JSON holds it: lists of numbers of
            rows (`outside_support`, `inexact_rows`), of objects with a `row` (`errors`, and
            `error_count` where they are not all), or of values with `rows` (`unknown_classes`,
            `changed_constants`), none of them empty; by what rate a decision was taken (`alpha`,
            `fdr`); and `reasons`, a list of objects for each row.
        columns: where x is to be written as values of these by name, in formats that have names.
        is_path: whether rows are the points of one path, in their order.
    """

    arrays: Arrays
    seed: int | None = None
    remarks: dict[str, Any] = field(default_factory=dict)
    columns: Sequence[Column] | None = None
    is_path: bool = False

    @property
    def numbers(self) -> int:
        """How many numbers are to be written, about."""
        size = sum([array.size for array in self.arrays.values()])
        if (reasons := self.remarks.get("reasons")) is None:
            return size
        return size + NUMBERS_PER_REASON * sum([len(each) for each in reasons if each])


class AnswerPieces(NamedTuple):
    """An answer of so many rows, some of them at a time, and the seed of its noise.

    Args:
        rows: in all.
        seed: of the noise.
        numbers: of the largest piece.
        arrays: the pieces in turn.
    """

    rows: int
    seed: int
    numbers: int
    arrays: AsyncGenerator[Arrays, None]


async def begun_ahead(
    piece: Callable[[int], Awaitable[Arrays]], starts: Sequence[int]
) -> AsyncGenerator[Arrays, None]:
    """Pieces in turn, each begun while the one before it is being used."""
    following = asyncio.ensure_future(piece(starts[0]))
    try:
        for start in starts[1:]:
            current = await following
            following = asyncio.ensure_future(piece(start))
            yield current
        yield await following
    finally:
        # where it has failed already, nobody asks why, and asyncio would log that nobody did
        following.cancel()
        following.add_done_callback(_looked_at)
        # an error of it holds this frame, which holds it: a deadline left 120 objects in a cycle
        del following


def _looked_at(task: asyncio.Future[Arrays]) -> None:
    if not task.cancelled():
        task.exception()
