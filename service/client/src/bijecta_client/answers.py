"""What questions come to: arrays of float32, of tables float64, free to be written to."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float32 | np.float64]
"""Of flows float32, of tables float64."""

Rows = Numbers | Any
"""An array; a list of dicts where records are asked for, which callers know better than types."""


class Placed(NamedTuple):
    """The log-density of each row in nats, and the share of held-out rows whose is at most that."""

    log_prob: Numbers
    quantile: Numbers


class Encoded(NamedTuple):
    """Latents, N × latent shape, and the log-density of each row in nats."""

    z: Numbers
    log_prob: Numbers


class EncodedByMembers(NamedTuple):
    """What an ensemble says of rows.

    Args:
        z: N × latent shape, in the member that is most responsible for each row.
        log_prob: N, of the mixture, in nats.
        member: N, the number of that member; −1 of a row without an answer.
    """

    z: Numbers
    log_prob: Numbers
    member: NDArray[np.int64]


class OfMembers(NamedTuple):
    """Log-densities of rows, in nats.

    Args:
        log_prob: N, of the mixture.
        member_log_prob: N × members.
        member_std, member_min, member_max: N each, over the members: deviation, least and most.
    """

    log_prob: Numbers
    member_log_prob: Numbers
    member_std: Numbers
    member_min: Numbers
    member_max: Numbers


class Decoded(NamedTuple):
    """Rows, N × event shape or records, and the log-density of each in nats."""

    x: Rows
    log_prob: Numbers


class Layered(NamedTuple):
    """Latents on their way to the data, through L layers.

    Args:
        states: N × (L + 1) × D: of each latent itself, and what each layer makes of it.
        log_probs: N × (L + 1), in nats, of each state under what the base becomes by then.
    """

    states: Numbers
    log_probs: Numbers


class Sampled(NamedTuple):
    """Rows, N × event shape or records, the log-density of each, and the seed that makes them."""

    x: Rows
    log_prob: Numbers
    seed: int


class Interpolated(NamedTuple):
    """Rows, steps × event shape or records, the log-density of each, and their latents."""

    x: Rows
    log_prob: Numbers
    z: Numbers


class Scored(NamedTuple):
    """What a detector says of rows.

    Args:
        score: N, larger is more anomalous; +∞ of a row outside the support.
        p_value: N, the share of normal rows with such a score or a larger one.
        anomaly: N, of truth values.
        log_prob: N, in nats.
        reasons: of each row a list of dicts with `column`, `value`, `expected` and `share`, and
            None where the row has no answer; None where they were not asked for.
    """

    score: Numbers
    p_value: Numbers
    anomaly: NDArray[np.bool_]
    log_prob: Numbers
    reasons: list[list[dict[str, Any]] | None] | None


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

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.rows,)  # from its text it could not be made again


class UnfamiliarValuesWarning(UserWarning):
    """Values of a table that its data had not: classes, and other values of constant columns.

    Args:
        values: the objects of `unknown_classes` and `changed_constants`, as the server says them;
            `rows` are counted from the first of the question.
    """

    def __init__(self, values: Sequence[Mapping[str, Any]]) -> None:
        shown = "; ".join(
            f"column {one['column']!r:.80} is {one['value']!r:.80} in {one['row_count']} rows"
            for one in values[:10]
        )
        more = f"; … ({len(values)} in all)" if len(values) > 10 else ""
        super().__init__(f"the data had no such values: {shown}{more}")
        self.values = list(values)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.values,)
