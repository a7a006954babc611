"""The rows of a request to a model of typed columns, or to a detector, as its graphs take them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.operations.checked_runs import CheckedRuns
from service.operations.rows.faults import RowFaults
from service.operations.rows.typed import Impossible, SettledRows, TypedRows, settled_rows
from service.operations.typed.requests import EncodeOfTable, LogProbOfTable, ScoreRequest
from service.store import Model
from service.types import Floats


async def settled_request(
    runs: CheckedRuns,
    model: Model,
    request: LogProbOfTable | EncodeOfTable | ScoreRequest,
    impossible: Impossible,
    deadline: float,
) -> tuple[SettledRows, Floats | None, RowFaults]:
    """The rows of a request with values that their columns can have, their context, and faults."""
    values = runs.checked_rows(request.x.values, model.event_shape, "x")
    faults = RowFaults(len(values), request.partial)
    context_rows = await runs.context_rows(model, request.context, faults, deadline)
    rows = replace(request.x, values=np.asarray(values, np.float64))
    settled = await settled_of(runs, model, rows, "x", faults, impossible, deadline)
    return settled, context_rows, faults


async def kept_impossible(
    runs: CheckedRuns, settled: SettledRows, faults: RowFaults, deadline: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the rows that are kept: which values have no probability, and whether one of them has."""

    def kept() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        impossible = faults.kept(settled.impossible)
        return impossible, np.asarray(impossible.any(1))

    return await runs.threads.run(settled.impossible.size, kept, deadline=deadline)


async def settled_of(
    runs: CheckedRuns,
    model: Model,
    rows: TypedRows,
    name: str,
    faults: RowFaults,
    impossible: Impossible,
    deadline: float,
) -> SettledRows:
    """Rows with values that their columns can have."""
    assert model.format_2 is not None
    return await runs.threads.run(
        rows.values.size,
        settled_rows,
        model.format_2,
        rows,
        name,
        faults,
        impossible,
        deadline=deadline,
    )
