"""What the watch over a model says, and how it begins anew."""

from typing import Any

from fastapi import APIRouter, Request

from service.errors import InvalidInputError
from service.http.origins import CONTROL_PATH
from service.http.request_body import ServerDependency
from service.http.routes.infer_openapi import V2_ERRORS
from service.store import Model
from service.watching import Watch

router = APIRouter(tags=["models"])


@router.get("/models/{name}/watch")
async def watch(server: ServerDependency, name: str, version: int | None = None) -> dict[str, Any]:
    """Whether the rows of a model have changed, and in what."""
    with await server.store.get(name, version) as model:
        return await _watch_of(model).describe()


@router.post(CONTROL_PATH + "models/{name}/watch/reset", responses=V2_ERRORS)
async def reset(
    server: ServerDependency, request: Request, name: str, version: int | None = None
) -> dict[str, Any]:
    """Begin the watch over a model anew: what was watched is forgotten, and an alarm ends."""
    server.check_started()
    server.check_control((request.scope.get("server") or (None, None))[1])
    with await server.store.get(name, version) as model:
        its_watch = _watch_of(model)
        await its_watch.reset()
        await server.watching.save()
        return await its_watch.describe()


def _watch_of(model: Model) -> Watch:
    """The watch over a model.

    Raises:
        InvalidInputError: it has none.
    """
    name = model.manifest.name
    if model.watch is None:
        raise InvalidInputError("watching is off on this server: --no-watch")
    if not model.watch.tests_drift:
        raise InvalidInputError(f"{name} has no calibration to test drift by: it is no detector")
    return model.watch
