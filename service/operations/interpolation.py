"""Paths between two latents."""

from dataclasses import replace

import numpy as np

from service.bundle import LatentPath
from service.errors import InvalidInputError, TooLargeError
from service.operations.answer import Answer
from service.operations.checked_runs import ENCODED, CheckedRuns
from service.operations.ensembles.requests import InterpolateOfEnsemble
from service.operations.ensembles.runs import ends_of_path
from service.operations.requests import PathRequest
from service.operations.rows.faults import RowFaults
from service.store import Model
from service.types import Arrays, Floats, Whole


def check_path(
    runs: CheckedRuns, model: Model, request: PathRequest, ends: dict[str, Floats]
) -> None:
    """See that a model has such a path.

    Args:
        runs: of the model's graphs.
        model: whose latents it is through.
        request: how it is to be.
        ends: start and end, each of event shape.

    Raises:
        InvalidInputError: it has not, or an end is of another shape.
        TooLargeError: the path has too many points.
    """
    if request.steps > runs.max_rows:
        raise TooLargeError(f"steps is {request.steps}, more than the {runs.max_rows} allowed")
    for name, row in ends.items():
        if row.shape != model.event_shape:
            raise InvalidInputError(
                f"{name}: expected one row of shape {model.event_shape}, got {row.shape}"
            )
    if request.path != "linear" and not model.density.base_density.spherical:
        raise InvalidInputError(
            f"path {request.path} needs a spherical base, this model's is "
            f"{model.density.base}: use linear"
        )


async def along_path(
    runs: CheckedRuns,
    model: Model,
    request: PathRequest,
    x: Floats,
    deadline: float,
    u: Floats | None = None,
) -> Answer:
    """The points of a path between two rows, of which all has been checked.

    Args:
        runs: of the model's graphs.
        model: whose latents it is through.
        request: how it is to be.
        x: start and end, 2 × event shape.
        deadline: on `time.monotonic`'s clock.
        u: where in their cells their values are taken, of typed columns.
    """
    steps, run = request.steps, runs.threads.run
    # one context for the whole path
    both = await runs.context_rows(model, request.context, RowFaults(1), deadline)
    every_step = both
    if both is not None:
        both, every_step = (np.broadcast_to(both, (k, both.shape[1])) for k in (2, steps))
    member: Whole | None = None
    if isinstance(request, InterpolateOfEnsemble):
        ends, number = await ends_of_path(runs, model, request.member, x, both, deadline)
        member = np.full(steps, number)
    else:
        ends = await runs.run_encode(model, x, both, ENCODED, deadline, u)
    faults, check, name = RowFaults(2), runs.check_encoded, "start and end"
    await run(x.size, check, model, ends, name, faults, deadline=deadline)
    try:
        path = LatentPath(ends["z"][0], ends["z"][1], steps, request.path)
    except ValueError as error:
        raise InvalidInputError(str(error)) from None
    z = np.empty((steps, *model.latent_shape), ends["z"].dtype)

    def fill(start: int, stop: int) -> None:
        z[start:stop] = path.points(start, stop)

    await runs.threads.run_in_blocks(steps, z[0].size, fill, deadline)
    faults = RowFaults(steps, request.partial)
    decoded = await runs.run_decode(model, z, every_step, faults, deadline, member)
    arrays: Arrays = decoded | {"z": z}
    if member is not None:
        arrays["member"] = member
    answer = await runs.answer(arrays, faults, deadline)
    await runs.remark_inexact(model, answer, z, deadline, member)
    return replace(answer, is_path=True)
