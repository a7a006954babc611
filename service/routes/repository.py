"""The Open Inference Protocol v2 beside inference: health, metadata, statistics, repository."""

from importlib.metadata import version as package_version
from typing import Any

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, Field

from service.errors import ForbiddenError
from service.model import Model
from service.routes.dependencies import ServerDependency
from service.routes.open_inference import GRAPHS, Graph, find
from service.store import Entry

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ["binary_tensor_data", "model_repository", "parameters", "statistics"]


class IndexRequest(BaseModel):
    """Which models to list."""

    ready: bool = Field(False, description="only those that answer")


@router.get("")
async def server_metadata() -> dict[str, Any]:
    """What this server is."""
    return {"name": "bijecta", "version": package_version("bijecta"), "extensions": EXTENSIONS}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready")
async def ready(server: ServerDependency, response: Response) -> dict[str, bool]:
    """Whether requests should be sent here."""
    if not server.ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"ready": server.ready}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def metadata(server: ServerDependency, name: str, version: str = "") -> dict[str, Any]:
    """Inputs and outputs of a model of the protocol."""
    model, graph = await find(server, name, version)
    entries = server.store.entries[model.manifest.name]
    return {
        "name": name,
        "versions": [str(v) for v, entry in sorted(entries.items()) if entry.model],
        "platform": PLATFORM,
        "inputs": graph.inputs(model),
        "outputs": graph.described(model),
    }


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(
    server: ServerDependency, response: Response, name: str, version: str = ""
) -> dict[str, Any]:
    """Whether a model answers."""
    model, _ = await find(server, name, version)
    if not model.engine.healthy:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"name": name, "ready": model.engine.healthy}


@router.get("/models/{name}/stats")
@router.get("/models/{name}/versions/{version}/stats")
async def statistics(server: ServerDependency, name: str, version: str = "") -> dict[str, Any]:
    """What a model has done since it was loaded."""
    model, graph = await find(server, name, version)
    return {"model_stats": [_statistics(name, model, graph)]}


@router.post("/repository/index")
async def index(
    server: ServerDependency, asked: IndexRequest | None = None
) -> list[dict[str, str]]:
    """Every model of the repository, and whether it answers."""
    listed = [
        _listed(name, version, entry)
        for name, versions in sorted(server.store.entries.items())
        for version, entry in sorted(versions.items())
    ]
    only_ready = asked is not None and asked.ready
    return [
        flow | {"name": ".".join(filter(None, (flow["name"], suffix)))}
        for flow in listed
        for suffix in GRAPHS
        if flow["state"] == "READY" or not only_ready
    ]


@router.post("/repository/models/{name}/load")
async def load(server: ServerDependency, name: str) -> Response:
    """Load a flow anew; requests in progress finish on what was loaded before."""
    _check_allowed(server.settings.model_control)
    await server.store.load(name)
    return Response()


@router.post("/repository/models/{name}/unload")
async def unload(server: ServerDependency, name: str) -> Response:
    """Unload a flow until it is loaded by name."""
    _check_allowed(server.settings.model_control)
    await server.store.unload(name)
    return Response()


def _check_allowed(allowed: bool) -> None:
    if not allowed:
        raise ForbiddenError("loading by request is off; --model-control true allows it")


def _listed(name: str, version: int, entry: Entry) -> dict[str, str]:
    listed = {"name": name, "version": str(version), "state": "READY", "reason": ""}
    if entry.model is None:
        reason = "unloaded" if entry.unloaded else entry.refused or "loaded when it is asked for"
        listed |= {"state": "UNAVAILABLE", "reason": reason}
    return listed


def _statistics(name: str, model: Model, graph: Graph) -> dict[str, Any]:
    found = model.engine.statistics(graph.runs)
    ran, waited = int(found.ran * 1e9), int(found.waited * 1e9)
    return {
        "name": name,
        "version": str(model.manifest.version),
        "inference_count": found.rows,
        "execution_count": found.batches,
        "inference_stats": {
            "success": {"count": found.requests, "ns": ran + waited},
            "queue": {"count": found.requests, "ns": waited},
            "compute_infer": {"count": found.batches, "ns": ran},
        },
    }
