"""What a model of typed columns answers; what a flow answers likewise is in `operations`."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np

from service.operations import interpolation
from service.operations.answer import Answer
from service.operations.checked_runs import ENCODED
from service.operations.operations import Operations
from service.operations.rows.faults import RowFaults
from service.operations.rows.holes import find_holes
from service.operations.rows.quantile import quantiles
from service.operations.rows.support import outside_support
from service.operations.rows.typed import TypedRows
from service.operations.typed.requests import (
    DecodeOfTable,
    EncodeOfTable,
    InterpolateOfTable,
    LogProbOfTable,
    SampleOfTable,
)
from service.operations.typed.settled import kept_impossible, settled_of, settled_request
from service.store import Model
from service.types import Arrays, Float64, Floats

# The smallest place in a cell: 0 is the edge of the cell before it.
SMALLEST_PLACE = 2.0**-54


async def log_prob(
    operations: Operations, model: Model, request: LogProbOfTable, deadline: float
) -> Answer:
    """Log-density of each row in nats; −inf where a value has no probability."""

    async def run(x: Floats, context_rows: Floats | None) -> Arrays:
        runs = operations.runs
        middles = await runs.threads.run(x.size, _middles, x, deadline=deadline)
        return await runs.run_encode(model, x, context_rows, ("log_prob",), deadline, middles)

    return await log_prob_by(run, operations, model, request, deadline)


async def log_prob_by(
    run: Callable[[Floats, Floats | None], Awaitable[Arrays]],
    operations: Operations,
    model: Model,
    request: LogProbOfTable,
    deadline: float,
) -> Answer:
    """The same by whatever computes `log_prob` of rows and their context."""
    runs = operations.runs
    settled, context_rows, faults = await settled_request(
        runs, model, request, "refused by name", deadline
    )
    x, context_rows = await runs.sound_rows(settled.values, context_rows, faults, deadline)
    _, outside = await kept_impossible(runs, settled, faults, deadline)
    found = np.where(outside, -np.inf, (await run(x, context_rows))["log_prob"])
    await runs.threads.run(len(x), runs.check_log_prob, model, found, 1, faults, deadline=deadline)
    arrays = {"log_prob": found}
    if request.quantile:
        arrays["quantile"] = await runs.threads.run(
            len(found), quantiles, model, found, deadline=deadline
        )
    answer = await runs.answer(arrays, faults, deadline)
    answer.remarks.update(outside_support(model, answer.arrays["log_prob"]))
    answer.remarks.update(request.x.remarks)
    if model.watch is not None:
        await model.watch.saw_log_prob(answer.arrays["log_prob"])
    return answer


async def encode(
    operations: Operations, model: Model, request: EncodeOfTable, deadline: float
) -> Answer:
    """Latents and log-density of each row."""
    runs = operations.runs
    settled, context_rows, faults = await settled_request(runs, model, request, "refused", deadline)
    x, context_rows = await runs.sound_rows(settled.values, context_rows, faults, deadline)

    def places() -> Float64:
        return faults.kept(_places(settled.values, request.seed))

    size = settled.values.size
    u = await runs.threads.run(size, places, deadline=deadline)
    encoded = await runs.run_encode(model, x, context_rows, ENCODED, deadline, u)
    await runs.threads.run(size, runs.check_encoded, model, encoded, "x", faults, deadline=deadline)
    answer = await runs.answer(encoded, faults, deadline, request.seed)
    answer.remarks.update(request.x.remarks)
    return answer


async def decode(
    operations: Operations, model: Model, request: DecodeOfTable, deadline: float
) -> Answer:
    """Rows and log-density of each latent."""
    runs = operations.runs
    z = runs.checked_rows(request.z, model.latent_shape, "z")
    faults = RowFaults(len(z), request.partial)
    if request.partial:  # else no row has a hole
        await find_holes(runs.threads, model, z, "z", request.hole_texts, faults, deadline)
    context_rows = await runs.context_rows(model, request.context, faults, deadline)
    z, context_rows = await runs.sound_rows(z, context_rows, faults, deadline)
    decoded = await runs.run_decode(model, z, context_rows, faults, deadline)
    answer = await runs.answer(decoded, faults, deadline)
    return _in_records(model, answer, request.records)


async def sample(
    operations: Operations, model: Model, request: SampleOfTable, deadline: float
) -> Answer:
    """Rows drawn from the model, with the log-density of each."""
    answer = await operations.sample(model, request, deadline)
    return _in_records(model, answer, request.records)


async def interpolate(
    operations: Operations, model: Model, request: InterpolateOfTable, deadline: float
) -> Answer:
    """Rows, latents and log-density along a path between two rows."""
    runs = operations.runs
    ends = {"start": request.start, "end": request.end}
    interpolation.check_path(runs, model, request, {name: end.values for name, end in ends.items()})
    both = [
        await settled_of(
            runs,
            model,
            TypedRows(end.values[None], end.converted),
            name,
            RowFaults(1),
            "refused",
            deadline,
        )
        for name, end in ends.items()
    ]
    x = np.concatenate([end.values for end in both])
    answer = await interpolation.along_path(runs, model, request, x, deadline, _middles(x))
    return _in_records(model, answer, request.is_of_records)


def _middles(x: Floats) -> Float64:
    """The middle of each cell."""
    return np.full(x.shape, 0.5)


def _places(x: Floats, seed: int | None) -> Float64:
    """A place in each cell, in (0, 1): the middle, or drawn, the same for the first n rows."""
    if seed is None:
        return _middles(x)
    drawn = np.random.Generator(np.random.Philox(seed)).random(x.shape)
    return np.maximum(drawn, SMALLEST_PLACE)


def _in_records(model: Model, answer: Answer, are_wanted: bool) -> Answer:
    """An answer whose rows are written as values of each column's own kind, if they are to be."""
    assert model.table is not None
    return replace(answer, columns=model.table.columns) if are_wanted else answer
