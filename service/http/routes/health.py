"""Liveness, readiness and metrics."""

from fastapi import APIRouter, Response, status
from prometheus_client import CONTENT_TYPE_LATEST

from service.http.request_body import ServerDependency
from service.http.routes.infer_openapi import NOT_READY

router = APIRouter(tags=["operation"])


@router.get("/health/live", summary="Whether the process works")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready", summary="Whether requests should be sent here", responses=NOT_READY)
async def ready(server: ServerDependency, response: Response) -> dict[str, bool | str]:
    """Whether requests should be sent here: 503 while models are loaded, and before the end."""
    if reason := server.not_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return {"ready": False, "reason": reason}
    return {"ready": True}


@router.get(
    "/metrics",
    summary="Figures of the server for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(server: ServerDependency) -> Response:
    """Prometheus metrics."""
    return Response(await server.group.exposition(), media_type=CONTENT_TYPE_LATEST)
