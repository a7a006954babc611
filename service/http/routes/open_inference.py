"""The Open Inference Protocol v2 over HTTP: inference in plain ASGI, all else by FastAPI."""

import math
from functools import partial
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, status
from starlette.types import Receive, Scope

from service.codecs import BYTES_TYPE, JSON_TYPE
from service.http.admission import key_of, may_see
from service.http.answer_room import held_answer
from service.http.asgi_route import AsgiRoute, WholeAnswer, deadline
from service.http.disconnect import DepartureWatch, unless_departed
from service.http.request_body import MIN_KEPT_BYTES, Headers, ServerDependency, body_of, parsed
from service.http.routes.infer_openapi import (
    INDEX_BODY,
    LOAD_BODY,
    NOT_READY,
    V2_ERRORS,
)
from service.http.streaming import StreamingAnswer, closed_on_failure, made_pieces
from service.inflight import MemoryShare
from service.open_inference import LENGTH_HEADER, Inference, ModelRepository, server_metadata
from service.operations import Answer
from service.server import Server
from service.telemetry import SERIALISE, current, spent
from service.work_threads import MIN_NUMBERS

# A request of the repository has a field or two.
MAX_REPOSITORY_BYTES = 2**16

LENGTH_FIELD = LENGTH_HEADER.lower().encode()

router = APIRouter(prefix="/v2", tags=["open inference protocol"], responses=V2_ERRORS)


class InferRoute(AsgiRoute):
    """`POST /v2/models/{model}[/versions/{version}]/infer`.

    Args:
        server: whose models are asked.
    """

    def __init__(self, server: Server) -> None:
        paths = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
        super().__init__(server, "infer", paths)
        self.repository = server.repository

    async def answer(self, scope: Scope, receive: Receive, share: MemoryShare) -> Response:
        """The outputs asked for, in JSON or binary."""
        headers, key = Headers(scope), key_of(scope)
        due = deadline(headers)
        body = await body_of(receive, headers, self.server, share)
        path = scope["path_params"]
        length = headers[LENGTH_FIELD]
        lease, kind = await self.repository.find(path["name"], path.get("version", ""))
        with lease as model:
            parse = partial(Inference.parse, kind, model, body, length)
            inference = await parsed(self.server, share, body, parse)
            if key is not None:
                rows = inference.request.row_count
                key.charge_rows(rows, self.server.settings.max_sample_rows)
            if share.held > MIN_KEPT_BYTES:
                share.keep(inference.request.nbytes)
            max_rows = self.server.settings.max_rows
            size = inference.request.answer_numbers(model.dimensions, max_rows)
            if room := held_answer(receive, share, size, due):
                await unless_departed(receive, room)
            answer = await unless_departed(receive, inference.answer(self.server.operations, due))
        if (record := current()) is not None:
            record.rows = len(answer.arrays["log_prob"])
        if answer.numbers > MIN_NUMBERS:
            return await self._large(inference, answer, receive, due)
        began = monotonic()
        content, json_bytes = inference.dump(answer)
        spent(SERIALISE, began)
        if json_bytes is None:
            return WholeAnswer(content, JSON_TYPE)
        return WholeAnswer(content, BYTES_TYPE, {LENGTH_HEADER: str(json_bytes)})

    async def _large(
        self, inference: Inference, answer: Answer, receive: Receive, due: float
    ) -> Response:
        """The same of an answer that takes a while to be written."""
        threads, watch = self.server.threads, DepartureWatch(receive)
        async with closed_on_failure(watch):
            began = monotonic()
            dumped = threads.run(math.inf, inference.dump_pieces, answer, deadline=due)
            json_bytes, length, pieces = await watch.finish(dumped)
            spent(SERIALISE, began)
            body = made_pieces(threads, pieces, due)
            async with closed_on_failure(body):
                first = await watch.finish(anext(body))
                kind, headers = BYTES_TYPE, {LENGTH_HEADER: str(json_bytes)}
                if not json_bytes:
                    kind, headers = JSON_TYPE, {}
                return StreamingAnswer(kind, headers, length, first, body, watch)


def _repository(server: ServerDependency) -> ModelRepository:
    return server.repository


def _started_repository(server: ServerDependency) -> ModelRepository:
    server.check_started()
    return server.repository


def _changeable_repository(server: ServerDependency, request: Request) -> ModelRepository:
    server.check_started()
    server.check_control((request.scope.get("server") or (None, None))[1])
    return server.repository


async def _body(server: ServerDependency, request: Request) -> bytes:
    """The body, of whatever content type: clients of the protocol name none, and may send none."""
    with server.inflight.share() as share:
        headers = Headers(request.scope)
        return await body_of(request.receive, headers, server, share, MAX_REPOSITORY_BYTES)


Repository = Annotated[ModelRepository, Depends(_repository)]
StartedRepository = Annotated[ModelRepository, Depends(_started_repository)]
ChangeableRepository = Annotated[ModelRepository, Depends(_changeable_repository)]
Body = Annotated[bytes, Depends(_body)]


@router.get("", summary="Name, version and extensions of the server")
async def metadata_of_server() -> dict[str, Any]:
    """What this server is."""
    return server_metadata()


@router.get("/health/live", summary="Whether the process works, by the protocol")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get(
    "/health/ready", summary="Whether the server is ready, by the protocol", responses=NOT_READY
)
async def ready(server: ServerDependency, response: Response) -> dict[str, bool]:
    """Whether requests should be sent here."""
    if not server.ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"ready": server.ready}


# Before the metadata of a model of that name, as in Triton.
@router.get("/models/stats", summary="What all models have done")
async def all_statistics(repository: Repository, request: Request) -> dict[str, Any]:
    """What each model that is loaded has done since it was."""
    return await repository.all_statistics(partial(may_see, request.scope))


@router.get("/models/{name}", summary="Inputs and outputs of a model")
@router.get(
    "/models/{name}/versions/{version}", summary="Inputs and outputs of one version of a model"
)
async def metadata(repository: StartedRepository, name: str, version: str = "") -> dict[str, Any]:
    """Inputs and outputs of a model of the protocol."""
    return await repository.metadata(name, version)


@router.get("/models/{name}/config", summary="Configuration of a model, as Triton writes it")
@router.get(
    "/models/{name}/versions/{version}/config",
    summary="Configuration of one version of a model, as Triton writes it",
)
async def config(repository: StartedRepository, name: str, version: str = "") -> dict[str, Any]:
    """The inputs and outputs in the words of Triton's model configuration."""
    return await repository.config(name, version)


@router.get("/models/{name}/ready", summary="Whether a model answers requests", responses=NOT_READY)
@router.get(
    "/models/{name}/versions/{version}/ready",
    summary="Whether one version of a model answers requests",
    responses=NOT_READY,
)
async def model_ready(
    repository: StartedRepository, response: Response, name: str, version: str = ""
) -> dict[str, Any]:
    """Whether a model answers."""
    is_ready = await repository.is_ready(name, version)
    if not is_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"name": name, "ready": is_ready}


@router.get("/models/{name}/stats", summary="What a model has done since it was loaded")
@router.get(
    "/models/{name}/versions/{version}/stats",
    summary="What one version of a model has done since it was loaded",
)
async def statistics(repository: StartedRepository, name: str, version: str = "") -> dict[str, Any]:
    """What a model has done since it was loaded; decode and sample share a graph, and figures."""
    return await repository.statistics(name, version)


@router.post(
    "/repository/index",
    summary="List every model, and whether it answers",
    openapi_extra=INDEX_BODY,
)
async def index(repository: Repository, body: Body, request: Request) -> list[dict[str, str]]:
    """Every model of the repository, and whether it answers."""
    return repository.index(body, partial(may_see, request.scope))


@router.post("/repository/models/{name}/load", summary="Load a model anew", openapi_extra=LOAD_BODY)
async def load(repository: ChangeableRepository, body: Body, name: str) -> Response:
    """Load a flow anew; requests in progress finish on what was loaded before."""
    await repository.load(name, body)
    return Response()


@router.post("/repository/models/{name}/unload", summary="Unload a model", openapi_extra=LOAD_BODY)
async def unload(repository: ChangeableRepository, body: Body, name: str) -> Response:
    """Unload a flow, all of its graphs, until it is loaded by name."""
    await repository.unload(name, body)
    return Response()
