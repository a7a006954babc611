"""What the watch over a model says, and how it begins anew."""

from typing import Any

from fastapi import APIRouter, Request

from service.http.origins import CONTROL_PATH
from service.http.request_body import ServerDependency
from service.http.routes.infer_openapi import V2_ERRORS

router = APIRouter(tags=["models"])


@router.get("/models/{name}/watch")
async def watch(server: ServerDependency, name: str, version: int | None = None) -> dict[str, Any]:
    """Whether the rows of a model have changed, and in what."""
    with await server.store.get(name, version) as model:
        return await server.group.watch_of(model.manifest.name, model.manifest.version)


@router.post(CONTROL_PATH + "models/{name}/watch/reset", responses=V2_ERRORS)
async def reset(
    server: ServerDependency, request: Request, name: str, version: int | None = None
) -> dict[str, Any]:
    """Begin the watch over a model anew: what was watched is forgotten, and an alarm ends."""
    server.check_started()
    server.check_control((request.scope.get("server") or (None, None))[1])
    with await server.store.get(name, version) as model:
        which = model.manifest.name, model.manifest.version
        await server.group.reset_watch(*which)
        return await server.group.watch_of(*which)
