"""Answers: arrays by name, and what there is to say of single rows."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from service.store import Model
from service.types import Arrays, Float32


@dataclass(frozen=True)
class Answer:
    """Arrays by name, the question's own first, and the seed where one was used.

    Args:
        arrays: of numbers, booleans or text, with a row for each row of the question.
        seed: of the noise, where there was some.
        remarks: what there is to say of single rows, by name, as JSON holds it: lists of numbers of
            rows (`outside_support`) or of objects with a `row` (`errors`, and `error_count` where
            they are not all). No list is empty.
    """

    arrays: Arrays
    seed: int | None = None
    remarks: dict[str, Any] = field(default_factory=dict)


class AnswerPieces(NamedTuple):
    """An answer of so many rows, some of them at a time, and the seed of its noise."""

    rows: int
    seed: int
    arrays: AsyncGenerator[Arrays, None]


def scores(model: Model, log_prob: Float32) -> dict[str, Float32]:
    """log_prob, and bits per dimension where every column is a whole number."""
    arrays = {"log_prob": log_prob}
    if model.manifest.has_bits_per_dim:
        bits = -log_prob.astype(np.float64) / (model.manifest.dimensions * math.log(2))
        arrays["bits_per_dim"] = bits.astype(np.float32)
    return arrays


def outside_support(model: Model, log_prob: Float32) -> dict[str, Any]:
    """What is to be said of rows whose density is zero."""
    if model.support is None and model.manifest.base_box is None:
        return {}
    rows = np.flatnonzero(np.isneginf(log_prob)).tolist()
    return {"outside_support": rows} if rows else {}


async def ahead(
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
        following.cancel()
