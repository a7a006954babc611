"""Runs of the graphs of an ensemble, whose latents belong to its members."""

import numpy as np

from service.errors import InvalidInputError
from service.operations.checked_runs import CheckedRuns
from service.operations.ensembles.requests import EncodeOfEnsemble
from service.operations.rows.faults import RowFaults
from service.operations.rows.support import bounded_log_prob
from service.store import Model
from service.types import Arrays, Floats, Whole

WITH_MEMBERS = ("z", "log_prob", "member_log_prob")
IN_EACH_MEMBER = ("member_z", "log_prob", "member_log_prob")


def members_of(model: Model, given: Whole | None, rows: int) -> Whole:
    """The member of each row, from one for all or one for each.

    Raises:
        InvalidInputError: none is given, one is no member, or they are not as many as the rows.
    """
    count = _count(model)
    if given is None:
        raise InvalidInputError(
            f"member: {model.manifest.name} is an ensemble of {count} flows, each with latents of "
            f"its own: say whose these are, 0 to {count - 1}, one for all or one for each row, as "
            "/encode answers it"
        )
    if given.ndim and len(given) != rows:
        raise InvalidInputError(
            f"member: {len(given)} came for {rows} rows: expected one or {rows}"
        )
    wrong = np.flatnonzero((given < 0) | (given >= count))
    if wrong.size:
        where = f" in row {wrong[0]}" if given.ndim else ""
        raise InvalidInputError(
            f"member: expected 0 to {count - 1}, got {given.ravel()[wrong[0]]}{where}"
        )
    return np.broadcast_to(given, (rows,))


async def encoded(
    runs: CheckedRuns,
    model: Model,
    request: EncodeOfEnsemble,
    x: Floats,
    context_rows: Floats | None,
    faults: RowFaults,
    deadline: float,
) -> Arrays:
    """Latents, log-density and member of each row that is kept."""
    if request.member is None:
        outputs = ("z", "log_prob", "member")
        return await runs.run_encode(model, x, context_rows, outputs, deadline)
    member = faults.kept(members_of(model, request.member, faults.count))
    found = await runs.run_encode(model, x, context_rows, ("member_z", "log_prob"), deadline)
    z = await runs.threads.run(x.size, of_member, found["member_z"], member, deadline=deadline)
    return {"z": z, "log_prob": found["log_prob"], "member": member}


async def log_prob_of_members(
    runs: CheckedRuns,
    model: Model,
    x: Floats,
    context_rows: Floats | None,
    faults: RowFaults,
    deadline: float,
) -> tuple[Floats, Arrays]:
    """log_prob of rows, some of which may have no density, and what the members say of them."""
    found = await runs.run_encode(model, x, context_rows, WITH_MEMBERS, deadline)
    log_prob, each = found["log_prob"], found["member_log_prob"]
    if model.is_bounded:
        log_prob = await runs.threads.run(
            x.size, bounded_log_prob, model, x, found, deadline=deadline
        )
    await runs.threads.run(
        len(x), runs.check_log_prob, model, log_prob, 1, faults, deadline=deadline
    )
    spread = await runs.threads.run(each.size, spread_of, each, log_prob, deadline=deadline)
    return log_prob, spread


async def ends_of_path(
    runs: CheckedRuns,
    model: Model,
    member: int | None,
    x: Floats,
    context_rows: Floats | None,
    deadline: float,
) -> tuple[Arrays, int]:
    """Latents and log-density of two rows in one member, and which that is.

    It is the one that is named, or the one with the largest weight × density of both.
    """
    assert model.ensemble is not None
    if member is not None:
        members_of(model, np.array(member), len(x))
    found = await runs.run_encode(model, x, context_rows, IN_EACH_MEMBER, deadline)
    if member is None:
        together = found["member_log_prob"].astype(np.float64).sum(0)
        together += np.array(model.ensemble.log_weights)
        # where a member has no answer for a row, another one is taken
        member = int(np.argmax(np.where(np.isnan(together), -np.inf, together)))
    return {"z": found["member_z"][:, member], "log_prob": found["log_prob"]}, member


def of_member(member_z: Floats, member: Whole) -> Floats:
    """Of latents in each member, N × members × latent shape, those in one member each."""
    chosen: Floats = member_z[np.arange(len(member)), member]
    return chosen


def spread_of(member_log_prob: Floats, log_prob: Floats) -> Arrays:
    """What is said of the log-densities of members, N × members, in nats.

    The deviation is that over the members in whose support a row lies; 0 where there is none.

    Args:
        member_log_prob: as the graph says them.
        log_prob: of the mixture, −∞ of rows outside its support.
    """
    each = np.where(np.isneginf(log_prob)[:, None], np.float32(-np.inf), member_log_prob)
    finite = np.isfinite(each)
    count = np.maximum(finite.sum(1), 1)
    known = np.where(finite, each, 0).astype(np.float64)
    mean = known.sum(1) / count
    squares = np.where(finite, (known - mean[:, None]) ** 2, 0).sum(1)
    return {
        "member_log_prob": each,
        "member_std": np.sqrt(squares / count).astype(each.dtype),
        "member_min": each.min(1),
        "member_max": each.max(1),
    }


def _count(model: Model) -> int:
    assert model.ensemble is not None
    return len(model.ensemble.members)
