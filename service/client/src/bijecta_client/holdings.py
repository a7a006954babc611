"""What is asked beside arrays of flows: what a server holds, pictures, members of ensembles."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bijecta_client import bodies, native
from bijecta_client.answers import Decoded, EncodedByMembers, OfMembers, RowError
from bijecta_client.asking import Asking, Question
from bijecta_client.errors import (
    TimedOutError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
)
from bijecta_client.exchange import Ask, Patience, Steps, exchange

Drawn = Literal["sample", "decode", "interpolate"]

PNG = b"\x89PNG\r\n\x1a\n"
"""How its files begin."""


class Holdings(Asking):
    """The questions whose answers are no arrays."""

    def models(self) -> Steps[dict[str, Any]]:
        """What the server holds: `default`, `models` and `refused`."""
        return self._get("/models", self._due())

    def model(self, name: str | None = None, version: int | None = None) -> Steps[dict[str, Any]]:
        """The manifest of a model, the client's where none is named."""
        due = self._due()
        name, version = yield from self._target(name, version, due)
        return (yield from self._manifest(name, version, due))

    def ready(self) -> Steps[bool]:
        """Whether the server would answer questions now; False where nothing is there.

        Raises:
            UnreachableError: the address is none.
        """
        try:
            yield from exchange(Ask("GET", "/health/ready"), Patience(0, 0.0), self._due())
        except (UnavailableError, TimedOutError):
            return False
        except UnreachableError as error:
            if not error.may_pass:
                raise
            return False
        return True

    def png(
        self,
        question: Drawn,
        /,
        *,
        model: str | None = None,
        version: int | None = None,
        **fields: Any,
    ) -> Steps[bytes]:
        """The rows x of an answer as one sheet of pictures, a file in PNG.

        Args:
            question: what is asked of a model of images.
            model, version: others than the client's.
            fields: of the question, such as `n` and `seed`, `z`, or `start`, `end` and `steps`.
        """
        due = self._due()
        name, version = yield from self._target(model, version, due)
        body = {field: _plain(field, value) for field, value in fields.items()}
        content = bodies.to_json({"model": name, "version": version, **body})
        headers = {"Content-Type": "application/json", "Accept": "image/png"}
        ask = Ask("POST", f"/{question}", content, headers)
        answer = yield from exchange(ask, self._patience, due)
        if not answer.content.startswith(PNG):
            began = answer.content[:80].decode("latin-1")
            raise UnreadableError(f"expected a file in PNG, got {began!r}", answer.status)
        return answer.content


def _plain(field: str, value: Any) -> Any:
    """The value of a field as JSON has it.

    Raises:
        TypeError, ValueError: rows or latents that are no array of numbers.
    """
    if field == "context":
        return native.plain_context(value)
    return native.end(field, value) if field in ("z", "start", "end") else value


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
