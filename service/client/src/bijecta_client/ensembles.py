"""What a client asks ensembles: of their members, which have latents of their own; free of I/O."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client import bodies
from bijecta_client.answers import Decoded, EncodedByMembers, OfMembers, RowError
from bijecta_client.asking import Question
from bijecta_client.exchange import Steps
from bijecta_client.holdings import Holdings


class EnsembleQuestions(Holdings):
    """The questions to ensembles alone."""

    def log_prob_of_members(
        self,
        x: ArrayLike,
        context: ArrayLike | None = None,
        *,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[OfMembers]:
        """Log-density of each row under an ensemble and under each of its members, in nats.

        Args:
            x: N × event shape.
            context, failures, model, version: as of `log_prob`.
        """
        question = Question(OfMembers._fields, {}, self._rows, model, version, failures)
        return OfMembers(**(yield from self._of_x("/log_prob", x, context, question)))

    def encode_by_members(
        self,
        x: ArrayLike,
        context: ArrayLike | None = None,
        *,
        failures: list[RowError] | None = None,
        model: str | None = None,
        version: int | None = None,
    ) -> Steps[EncodedByMembers]:
        """Latents of rows, each in the member that is most responsible for it, and which that is.

        Args:
            x: N × event shape.
            context, failures, model, version: as of `log_prob`.
        """
        question = Question(EncodedByMembers._fields, {}, self._rows, model, version, failures)
        return EncodedByMembers(**(yield from self._of_x("/encode", x, context, question)))

    def _decode_arrays(
        self,
        z: ArrayLike,
        context: ArrayLike | None,
        member: ArrayLike | None,
        question: Question,
        due: float,
    ) -> Steps[Decoded]:
        """Rows of latents, of an ensemble those of one member or of one for each."""
        inputs = bodies.inputs({"z": z, "context": context})
        if member is not None:
            inputs = with_members(inputs, member)
        return Decoded(**(yield from self._of_arrays(".decode", inputs, question, due)))


def with_members(
    inputs: Mapping[str, NDArray[np.generic]], member: ArrayLike
) -> dict[str, NDArray[np.generic]]:
    """Latents with the member of each, from one for all or one for each.

    Raises:
        TypeError: no whole numbers.
        ValueError: as many as there are rows are none, nor one.
    """
    numbers, rows = np.asarray(member), len(np.atleast_1d(inputs["z"]))
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"member: expected whole numbers, its dtype is {numbers.dtype}")
    if numbers.ndim > 1 or (numbers.ndim and len(numbers) != rows):
        raise ValueError(f"member: expected one or {rows}, got shape {numbers.shape}")
    each = np.ascontiguousarray(np.broadcast_to(numbers.astype(np.int64), (rows,)))
    return {"z": inputs["z"], "member": each, **inputs}
