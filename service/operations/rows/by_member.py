"""Latents of an ensemble, decoded member by member."""

import numpy as np

from service.store import Model
from service.types import Arrays, Floats, Whole
from service.work_threads import WorkThreads


async def decoded(
    threads: WorkThreads,
    model: Model,
    z: Floats,
    context_rows: Floats | None,
    outputs: tuple[str, ...],
    deadline: float,
    member: Whole,
) -> Arrays:
    """Outputs of the decode graph, as they come.

    Rows of an ensemble go in the order of their members: a batch then has rows of few of them, and
    each takes as long as a batch of its own where coordinates are found one after another.

    Args:
        threads: where rows are put in order.
        model: whose latents they are.
        z, context_rows, outputs, deadline: see `Engine.decode`.
        member: of each row.
    """
    if len(member) == 1:
        return await model.engine.decode(z, context_rows, outputs, deadline, member)
    order = np.argsort(member, kind="stable")

    def in_order() -> tuple[Floats, Floats | None]:
        return z[order], None if context_rows is None else context_rows[order]

    rows, its_context = await threads.run(z.size, in_order, deadline=deadline)
    found = await model.engine.decode(rows, its_context, outputs, deadline, member[order])

    def as_before() -> Arrays:
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return {name: values[back] for name, values in found.items()}

    return await threads.run(z.size, as_before, deadline=deadline)
