"""The Open Inference Protocol v2 beside inference: health, metadata, statistics, repository."""

from importlib.metadata import version as package_version
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response, status
from pydantic import BaseModel, Field, ValidationError

from service.bundle import BundleError
from service.errors import (
    ForbiddenError,
    InvalidInputError,
    MalformedBodyError,
    ModelRefusedError,
    readable,
)
from service.http.request_body import Headers, body_of
from service.http.routes.dependencies import ServerDependency
from service.http.routes.open_inference import GRAPHS, Graph, find, split
from service.server import Server
from service.store import Entry, Model

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = [
    "binary_tensor_data",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
]

T = TypeVar("T", bound=BaseModel)


class IndexRequest(BaseModel):
    """Which models to list."""

    ready: bool = Field(False, description="only those that answer")


class ChangeRequest(BaseModel):
    """How to load or unload a model."""

    parameters: dict[str, Any] = {}


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


# Before the metadata of a model of that name, as in Triton.
@router.get("/models/stats")
async def all_statistics(server: ServerDependency) -> dict[str, Any]:
    """What each model that is loaded has done since it was."""
    return {
        "model_stats": [
            _statistics(model, graph) for model in server.store.models for graph in GRAPHS.values()
        ]
    }


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def metadata(server: ServerDependency, name: str, version: str = "") -> dict[str, Any]:
    """Inputs and outputs of a model of the protocol."""
    lease, graph = await find(server, name, version)
    with lease as model:
        entries = server.store.entries.get(model.manifest.name, {})
        return {
            "name": name,
            "versions": [str(v) for v, entry in sorted(entries.items()) if entry.model],
            "platform": PLATFORM,
            "inputs": graph.inputs(model),
            "outputs": graph.described(model),
        }


@router.get("/models/{name}/config")
@router.get("/models/{name}/versions/{version}/config")
async def config(server: ServerDependency, name: str, version: str = "") -> dict[str, Any]:
    """The same in the words of Triton's model configuration."""
    lease, graph = await find(server, name, version)
    with lease as model:
        return {
            "name": name,
            "platform": PLATFORM,
            "backend": "onnxruntime",
            "max_batch_size": 0,  # the sides below include that of the rows
            "input": [_configured(tensor) for tensor in graph.inputs(model)],
            "output": [_configured(tensor) for tensor in graph.described(model)],
        }


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(
    server: ServerDependency, response: Response, name: str, version: str = ""
) -> dict[str, Any]:
    """Whether a model answers."""
    lease, _ = await find(server, name, version)
    with lease as model:
        healthy = model.engine.healthy
    if not healthy:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"name": name, "ready": healthy}


@router.get("/models/{name}/stats")
@router.get("/models/{name}/versions/{version}/stats")
async def statistics(server: ServerDependency, name: str, version: str = "") -> dict[str, Any]:
    """What a model has done since it was loaded; decode and sample share a graph, and figures."""
    lease, graph = await find(server, name, version)
    with lease as model:
        return {"model_stats": [_statistics(model, graph)]}


@router.post("/repository/index")
async def index(server: ServerDependency, request: Request) -> list[dict[str, str]]:
    """Every model of the repository, and whether it answers."""
    asked = await _asked(server, request, IndexRequest)
    return [
        _listed(graph.name(name), version, entry)
        for name, versions in sorted(server.store.entries.items())
        for version, entry in sorted(versions.items())
        for graph in GRAPHS.values()
        if entry.model or not asked.ready
    ]


@router.post("/repository/models/{name}/load")
async def load(server: ServerDependency, request: Request, name: str) -> Response:
    """Load a flow anew; requests in progress finish on what was loaded before."""
    _check_allowed(server)
    asked = await _asked(server, request, ChangeRequest)
    if asked.parameters:
        raise InvalidInputError(
            "expected no parameters: a bundle has its own files and configuration; got "
            f"{', '.join(sorted(asked.parameters)):.80}"
        )
    flow, _ = split(name)
    try:
        await server.store.load(flow)
    except BundleError as error:
        raise ModelRefusedError(str(error)) from None
    return Response()


@router.post("/repository/models/{name}/unload")
async def unload(server: ServerDependency, request: Request, name: str) -> Response:
    """Unload a flow, all of its graphs, until it is loaded by name."""
    _check_allowed(server)
    await _asked(server, request, ChangeRequest)
    flow, _ = split(name)
    await server.store.unload(flow)
    return Response()


async def _asked(server: Server, request: Request, schema: type[T]) -> T:
    """What the body says; clients of the protocol name no content type, and may send none."""
    body = await body_of(request.receive, Headers(request.scope), server.settings.max_body)
    try:
        return schema.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise MalformedBodyError("; ".join(map(readable, error.errors()))) from None


def _check_allowed(server: Server) -> None:
    server.check_started()
    if not server.settings.model_control:
        raise ForbiddenError("loading by request is off; --model-control true allows it")


def _listed(name: str, version: int, entry: Entry) -> dict[str, str]:
    listed = {"name": name, "version": str(version), "state": "READY", "reason": ""}
    if entry.model is None:
        reason = "unloaded" if entry.unloaded else entry.refused or "loaded when it is asked for"
        listed |= {"state": "UNAVAILABLE", "reason": reason}
    return listed


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    """An input or output of the metadata in the words of the configuration."""
    datatype, shape = tensor["datatype"], tensor["shape"]
    return {"name": tensor["name"], "data_type": f"TYPE_{datatype}", "dims": shape}


def _statistics(model: Model, graph: Graph) -> dict[str, Any]:
    found = model.engine.statistics(graph.runs)
    ran, waited = int(found.ran * 1e9), int(found.waited * 1e9)
    # what fails does so before it comes to the engine, and tensors are read and written in place
    none = {"count": 0, "ns": 0}
    return {
        "name": graph.name(model.manifest.name),
        "version": str(model.manifest.version),
        "inference_count": found.rows,
        "execution_count": found.batches,
        "inference_stats": {
            "success": {"count": found.requests, "ns": ran + waited},
            "fail": none,
            "queue": {"count": found.requests, "ns": waited},
            "compute_input": none,
            "compute_infer": {"count": found.batches, "ns": ran},
            "compute_output": none,
        },
        "batch_stats": [],
    }
