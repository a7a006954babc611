"""Runs of a model's graphs on checked rows, with checked answers."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError, NonFiniteOutputError, TooLargeError
from service.metrics import Metrics
from service.operations import context
from service.operations.answer import Answer
from service.operations.rows import by_member
from service.operations.rows.faults import Fault, RowFaults
from service.operations.rows.round_trip import (
    residual_of_data,
    residual_of_latents,
    rows_far_out,
    rows_off,
)
from service.operations.rows.support import (
    are_not_finite,
    bounded_log_prob,
    check_has_density,
)
from service.operations.rows.typed import decoded_rows
from service.store import Model
from service.types import Arrays, Floats, Whole
from service.work_threads import MIN_NUMBERS, WorkThreads

ENCODED = ("z", "log_prob")
DECODED = ("x", "log_prob")
PASSED = ("states", "log_probs")


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

    def checked_rows(self, rows: Floats, shape: tuple[int, ...], name: str) -> Floats:
        """Rows that are of a shape, and not too many; of no rows JSON has lost the shape.

        Raises:
            InvalidInputError: they are of another shape.
            TooLargeError: they are too many.
        """
        if rows.shape == (0,):
            return rows.reshape(0, *shape)
        if rows.shape[1:] != shape:
            expected = " × ".join(["N", *map(str, shape)])
            hint = f"; a single row is written [{name}]" if rows.shape == shape else ""
            raise InvalidInputError(
                f"{name}: expected {expected} numbers, got shape {rows.shape}{hint}"
            )
        if len(rows) > self.max_rows:
            raise TooLargeError(
                f"{name}: {len(rows)} rows are more than the {self.max_rows} allowed"
            )
        return rows

    async def context_rows(
        self, model: Model, given: NDArray[Any] | None, faults: RowFaults, deadline: float
    ) -> Floats | None:
        """The context of all rows."""
        size = 0 if given is None else given.size
        if size <= MIN_NUMBERS:
            return context.rows(model.manifest, given, faults)
        return await self.threads.run(
            size, context.rows, model.manifest, given, faults, deadline=deadline
        )

    async def sound_rows(
        self, rows: Floats, context_rows: Floats | None, faults: RowFaults, deadline: float
    ) -> tuple[Floats, Floats | None]:
        """The rows, and the context of each, that have no fault so far; the others are left out."""
        faults.keep_sound()
        if not faults.found:
            return rows, context_rows
        numbers = rows.size
        kept = await self.threads.run(numbers, faults.kept, rows, deadline=deadline)
        if context_rows is not None:
            numbers = context_rows.size
            context_rows = await self.threads.run(
                numbers, faults.kept, context_rows, deadline=deadline
            )
        return kept, context_rows

    async def checked_log_prob(
        self,
        model: Model,
        x: Floats,
        context_rows: Floats | None,
        faults: RowFaults,
        deadline: float,
    ) -> Floats:
        """log_prob of rows, some of which may have no density."""
        log_prob = await self.unchecked_log_prob(model, x, context_rows, deadline)
        if len(x) <= MIN_NUMBERS:
            self.check_log_prob(model, log_prob, 1, faults)
            return log_prob
        await self.threads.run(
            len(x), self.check_log_prob, model, log_prob, 1, faults, deadline=deadline
        )
        return log_prob

    async def unchecked_log_prob(
        self, model: Model, x: Floats, context_rows: Floats | None, deadline: float
    ) -> Floats:
        """log_prob of rows; of bounded models NaN is no answer, and −inf is one."""
        outputs = ("log_prob",) if model.base_box is None else ENCODED
        encoded = await self.run_encode(model, x, context_rows, outputs, deadline)
        if not model.is_bounded:
            return encoded["log_prob"]
        return await self.threads.run(
            x.size, bounded_log_prob, model, x, encoded, deadline=deadline
        )

    async def run_encode(
        self,
        model: Model,
        x: Floats,
        context_rows: Floats | None,
        outputs: tuple[str, ...],
        deadline: float,
        u: Floats | None = None,
    ) -> Arrays:
        """Outputs of the encode graph, as they come; of no rows without running it."""
        if len(x) == 0:
            return _of_no_rows(model, "encode", outputs)
        if context_rows is not None:
            context_rows = await self.written_out(context_rows, deadline)
        return await model.engine.encode(x, context_rows, outputs, deadline, u)

    async def run_decode(
        self,
        model: Model,
        z: Floats,
        context_rows: Floats | None,
        faults: RowFaults,
        deadline: float,
        member: Whole | None = None,
    ) -> dict[str, Floats]:
        """Outputs of the decode graph; rows of which one is not finite are faults."""
        if len(z) == 0:
            return _of_no_rows(model, "decode", DECODED)
        if context_rows is not None:
            context_rows = await self.written_out(context_rows, deadline)
        args = z, context_rows, DECODED, deadline
        if member is None:
            decoded = await model.engine.decode(*args)
        else:  # of an ensemble
            decoded = await by_member.decoded(self.threads, model, *args, member)
        if model.table is not None:
            decoded["x"], checked = await self.threads.run(
                z.size, decoded_rows, model.table, decoded["x"], deadline=deadline
            )
            await self.threads.run(
                z.size,
                self.check_finite,
                model,
                faults,
                checked,
                decoded["log_prob"],
                deadline=deadline,
            )
            return decoded
        await self.threads.run(
            z.size, self.check_finite, model, faults, *decoded.values(), deadline=deadline
        )
        return decoded

    async def run_layers(
        self,
        model: Model,
        z: Floats,
        context_rows: Floats | None,
        faults: RowFaults,
        deadline: float,
    ) -> dict[str, Floats]:
        """Outputs of the graph of layers; rows of which one is not finite are faults."""
        if len(z) == 0:
            return _of_no_rows(model, "layers", PASSED)
        if context_rows is not None:
            context_rows = await self.written_out(context_rows, deadline)
        passed = await model.engine.layers(z, context_rows, PASSED, deadline)
        numbers = sum([values.size for values in passed.values()])
        await self.threads.run(
            numbers, self.check_finite, model, faults, *passed.values(), deadline=deadline
        )
        return passed

    async def answer(
        self, arrays: Arrays, faults: RowFaults, deadline: float, seed: int | None = None
    ) -> Answer:
        """An answer of all rows, from arrays of those that were kept."""
        if not faults.found:
            return Answer(arrays, seed)
        numbers = sum([values.size for values in arrays.values()])
        whole = await self.threads.run(numbers, faults.whole, arrays, deadline=deadline)
        return Answer(whole, seed, faults.remarks())

    async def residual(
        self,
        model: Model,
        rows: Floats,
        context_rows: Floats | None,
        arrays: Arrays,
        deadline: float,
        member: Whole | None = None,
    ) -> Floats:
        """By how much rows x are missed from their latents in `arrays`, or latents from their x."""
        if len(rows) == 0:
            return np.empty(0, np.float32)
        if context_rows is not None:
            context_rows = await self.written_out(context_rows, deadline)
        if "z" in arrays:
            # rows without an answer have NaN in the end, whatever they come to here
            z = await self.threads.run(rows.size, np.nan_to_num, arrays["z"], deadline=deadline)
            back = (await model.engine.decode(z, context_rows, ("x",), deadline, member))["x"]
            work = partial(residual_of_data, model, rows, back)
        else:
            x = await self.threads.run(rows.size, np.nan_to_num, arrays["x"], deadline=deadline)
            name = "z" if member is None else "member_z"
            back = (await model.engine.encode(x, context_rows, (name,), deadline))[name]
            if member is not None:
                back = back[np.arange(len(member)), member]
            work = partial(residual_of_latents, rows, back)
        return await self.threads.run(rows.size, work, deadline=deadline)

    async def remark_inexact(
        self,
        model: Model,
        answer: Answer,
        z: Floats,
        deadline: float,
        member: Whole | None = None,
    ) -> None:
        """Name the rows of an answer whose latents are these that do not come back as they were."""
        if "residual" in answer.arrays:
            rows = rows_off(model, answer.arrays["residual"])
        elif model.manifest.round_trip is None:
            return
        else:
            log_prob = answer.arrays["log_prob"]
            rows = await self.threads.run(
                z.size, rows_far_out, model, z, log_prob, member, deadline=deadline
            )
        if rows:
            answer.remarks["inexact_rows"] = rows

    async def written_out(self, context_rows: Floats, deadline: float) -> Floats:
        """A context as the graphs take it, where one row may stand for all."""
        return await self.threads.run(
            context_rows.size, np.ascontiguousarray, context_rows, deadline=deadline
        )

    def check_encoded(self, model: Model, encoded: Arrays, name: str, faults: RowFaults) -> None:
        """Find rows without latents and log-densities."""
        check_has_density(encoded["z"], model, name, faults)
        self.check_finite(model, faults, *encoded.values())

    def check_log_prob(
        self, model: Model, log_prob: Floats, copies: int, faults: RowFaults
    ) -> None:
        """Find rows without log_prob, which is given of copies of rows, copy after copy."""
        if model.is_bounded:
            log_prob = np.where(np.isneginf(log_prob), 0, log_prob)
        self.check_finite(model, faults, log_prob.reshape(copies, -1).T)

    def check_finite(self, model: Model, faults: RowFaults, *outputs: Floats) -> None:
        """Find rows of which an output is not finite."""
        faulty = are_not_finite(*outputs)
        if faulty is None:
            return
        self.metrics.non_finite.labels(model.manifest.name).inc(faults.count_new(faulty))
        faults.check(faulty, NonFiniteOutputError, too_far)


def _of_no_rows(model: Model, graph: str, outputs: tuple[str, ...]) -> Arrays:
    tensors = model.manifest.tensors[graph]
    return {name: np.empty((0, *tensors[name].row_shape), tensors[name].type) for name in outputs}


def too_far(_: int, row: int) -> Fault:
    """What is said of a row without a finite answer."""
    seen = "it lies too far from anything this model has seen"
    return Fault(f"row {row} has no finite answer: {seen}", {})
