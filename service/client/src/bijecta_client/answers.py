"""What questions come to: float32 arrays, free to be written to."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class Encoded(NamedTuple):
    """Latents, N × latent shape, and the log-density of each row in nats."""

    z: Float32
    log_prob: Float32


class Decoded(NamedTuple):
    """Rows, N × event shape, and the log-density of each in nats."""

    x: Float32
    log_prob: Float32


class Sampled(NamedTuple):
    """Rows, N × event shape, the log-density of each in nats, and the seed that makes them."""

    x: Float32
    log_prob: Float32
    seed: int


class Interpolated(NamedTuple):
    """Rows, steps × event shape, the log-density of each in nats, and their latents."""

    x: Float32
    log_prob: Float32
    z: Float32


class RowError(NamedTuple):
    """Why a row has no answer: its number, a word such as `non-finite-output`, and a sentence."""

    row: int
    reason: str
    detail: str


class InexactRowsWarning(UserWarning):
    """Rows so far from the data that encoding and decoding do not lead back to them.

    Args:
        rows: their numbers.
    """

    def __init__(self, rows: Sequence[int]) -> None:
        shown = ", ".join(map(str, rows[:10])) + (", …" if len(rows) > 10 else "")
        super().__init__(
            f"{len(rows)} rows lie so far from the data that encoding and decoding do not lead "
            f"back to them: {shown}"
        )
        self.rows = list(rows)
