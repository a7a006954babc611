"""Liveness, readiness and metrics."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.routes.dependencies import ServerDependency

router = APIRouter(tags=["operation"])


@router.api_route("/health/live", methods=["GET", "HEAD"])
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.api_route("/health/ready", methods=["GET", "HEAD"])
async def ready() -> dict[str, bool]:
    """The models are loaded: nothing is listened to before they are."""
    return {"ready": True}


@router.get("/metrics", response_class=Response)
async def metrics(server: ServerDependency) -> Response:
    """Prometheus metrics."""
    return Response(server.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
