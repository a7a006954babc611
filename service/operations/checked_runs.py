"""Runs of a model's graphs on checked rows, with checked answers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError, NonFiniteOutputError, TooLargeError
from service.metrics import Metrics
from service.operations import context
from service.operations.support import (
    bounded_log_prob,
    check_has_density,
    is_bounded,
    rows_not_finite,
)
from service.store import Model
from service.types import Arrays, Float32
from service.work_threads import WorkThreads

ENCODED = ("z", "log_prob")


@dataclass(frozen=True)
class CheckedRuns:
    """What every operation does with rows, context and answers.

    Args:
        max_rows: of a request.
        metrics: are told of rows without an answer.
        threads: where whatever takes longer the more a caller sends or asks for is done.
    """

    max_rows: int
    metrics: Metrics
    threads: WorkThreads

    def check_rows(self, rows: Float32, shape: tuple[int, ...], name: str) -> None:
        """Check that rows are of a shape, that there are some, and not too many.

        Raises:
            InvalidInputError: they are of another shape.
            TooLargeError: they are too many.
        """
        if rows.shape[1:] != shape or len(rows) == 0:
            expected = " × ".join(["N", *map(str, shape)])
            hint = f"; a single row is written [{name}]" if rows.shape == shape else ""
            raise InvalidInputError(
                f"{name}: expected {expected} numbers, got shape {rows.shape}{hint}"
            )
        if len(rows) > self.max_rows:
            raise TooLargeError(
                f"{name}: {len(rows)} rows are more than the {self.max_rows} allowed"
            )

    async def context_rows(
        self, model: Model, given: NDArray[Any] | None, n: int, deadline: float
    ) -> Float32 | None:
        """The context of n rows."""
        size = 0 if given is None else given.size
        return await self.threads.run(
            size, context.rows, model.manifest, given, n, deadline=deadline
        )

    async def checked_log_prob(
        self, model: Model, x: Float32, context_rows: Float32 | None, deadline: float
    ) -> Float32:
        """log_prob of rows, some of which may have no density."""
        log_prob = await self.unchecked_log_prob(model, x, context_rows, deadline)
        await self.threads.run(len(x), self.check_log_prob, model, log_prob, 1, deadline=deadline)
        return log_prob

    async def unchecked_log_prob(
        self, model: Model, x: Float32, context_rows: Float32 | None, deadline: float
    ) -> Float32:
        """log_prob of rows; of bounded models NaN is no answer, and −inf is one."""
        outputs = ("log_prob",) if model.manifest.base_box is None else ENCODED
        encoded = await self.run_encode(model, x, context_rows, outputs, deadline)
        if not is_bounded(model):
            return encoded["log_prob"]
        return await self.threads.run(
            x.size, bounded_log_prob, model, x, encoded, deadline=deadline
        )

    async def run_encode(
        self,
        model: Model,
        x: Float32,
        context_rows: Float32 | None,
        outputs: tuple[str, ...],
        deadline: float,
    ) -> Arrays:
        """Outputs of the encode graph, as they come."""
        if context_rows is not None:
            context_rows = await self._written_out(context_rows, deadline)
        return await model.engine.encode(x, context_rows, outputs, deadline)

    async def run_decode(
        self, model: Model, z: Float32, context_rows: Float32 | None, deadline: float
    ) -> dict[str, Float32]:
        """Outputs of the decode graph, which are finite."""
        if context_rows is not None:
            context_rows = await self._written_out(context_rows, deadline)
        decoded = await model.engine.decode(z, context_rows, ("x", "log_prob"), deadline)
        await self.threads.run(
            z.size, self._check_finite, model, *decoded.values(), deadline=deadline
        )
        return decoded

    async def _written_out(self, context_rows: Float32, deadline: float) -> Float32:
        """A context as the graphs take it, where one row may stand for all."""
        return await self.threads.run(
            context_rows.size, np.ascontiguousarray, context_rows, deadline=deadline
        )

    def check_encoded(self, model: Model, encoded: Arrays, name: str) -> None:
        """Check that latents and log-densities are those of rows that have them."""
        check_has_density(encoded["z"], model, name)
        self._check_finite(model, *encoded.values())

    def check_log_prob(self, model: Model, log_prob: Float32, copies: int) -> None:
        """Check log_prob of copies of rows, copy after copy."""
        if is_bounded(model):
            log_prob = np.where(np.isneginf(log_prob), 0, log_prob)
        self._check_finite(model, log_prob.reshape(copies, -1).T)

    def _check_finite(self, model: Model, *outputs: Float32) -> None:
        rows = rows_not_finite(*outputs)
        if len(rows) == 0:
            return
        self.metrics.non_finite.labels(model.manifest.name).inc(len(rows))
        raise NonFiniteOutputError(
            f"row {rows[0]} has no finite answer: it lies too far from anything this model has "
            f"seen ({len(rows)} such rows)",
            row=int(rows[0]),
        )
