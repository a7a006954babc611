"""What the watch over a model says, and how it begins anew."""

from typing import Any

from fastapi import APIRouter, Request

from service.http.origins import CONTROL_PATH
from service.http.request_body import ServerDependency
from service.http.routes.infer_openapi import V2_ERRORS

router = APIRouter(tags=["models"])


@router.get(
    "/models/{name}/watch", summary="Test whether the rows that a detector scores have changed"
)
async def watch(server: ServerDependency, name: str, version: int | None = None) -> dict[str, Any]:
    """Whether the rows of `/score` are still like the calibration rows of a detector (drift).

    `alarm` is null while nothing speaks for a change. Else it says in what rows have changed: `of`
    is score or column, `column` its name, `values` whether these are larger, smaller or different,
    `rows` and `time` when that was known. `rows` of the answer are those that were tested, and
    `log_martingale` is the evidence so far: from `log_threshold` on it is an alarm, which rows that
    have not changed raise with a probability of at most 1 / `--watch-threshold`, however often one
    looks: 1 % where that is not set.

    422 where the model is no calibrated detector, or the server runs with `--no-watch`.
    """
    with await server.store.get(name, version) as model:
        return await server.group.watch_of(model.manifest.name, model.manifest.version)


@router.post(
    CONTROL_PATH + "models/{name}/watch/reset",
    summary="Begin the watch over a model anew",
    responses=V2_ERRORS,
)
async def reset(
    server: ServerDependency, request: Request, name: str, version: int | None = None
) -> dict[str, Any]:
    """Forget what was watched: the watch over a model begins anew, and an alarm ends.

    The answer is that of `/models/{name}/watch`, of no rows.
    """
    server.check_started()
    server.check_control((request.scope.get("server") or (None, None))[1])
    with await server.store.get(name, version) as model:
        which = model.manifest.name, model.manifest.version
        await server.group.reset_watch(*which)
        return await server.group.watch_of(*which)
