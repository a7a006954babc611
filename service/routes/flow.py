"""The five questions to a flow, in JSON and npy."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service.codec import JSON, NPY, PROBLEM, dump_json, dump_npy, parse_json, parse_npy
from service.errors import (
    InvalidInputError,
    TooLargeError,
    TooSlowError,
    UnsupportedMediaTypeError,
    readable,
)
from service.metrics import endpoint_label
from service.operations import Answer
from service.routes.dependencies import ServerDependency
from service.schemas import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.server import Server
from service.store import Model

router = APIRouter(tags=["flow"])

R = TypeVar("R", bound=FlowRequest)
W = TypeVar("W")
Operation = Callable[[Model, R], Awaitable[Answer]]

# A thread is worth its while above so many bytes.
LARGE = 2**18

# Slower bodies than this are from callers that are gone, or mean harm.
BODY_SECONDS = 300

# curl -d says urlencoded unless told otherwise, and means JSON
JSON_TYPES = ("", JSON, "application/x-www-form-urlencoded")


def _documented(schema: type[FlowRequest]) -> dict[str, Any]:
    """What /docs shows of a route whose body is read by hand."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        "requestBody": {
            "content": {JSON: {"schema": schema.model_json_schema()}, NPY: binary},
        },
        "responses": {
            "200": {"description": "the answer", "content": {JSON: {}, NPY: binary}},
            "default": {"description": "a problem document", "content": {PROBLEM: {}}},
        },
    }


@router.post("/log_prob", openapi_extra=_documented(LogProbRequest))
async def log_prob(request: Request, server: ServerDependency) -> Response:
    """Log-density of each row in nats; in bits per dimension too where that is defined."""
    return await _answer(request, server, LogProbRequest, server.operations.log_prob)


@router.post("/encode", openapi_extra=_documented(EncodeRequest))
async def encode(request: Request, server: ServerDependency) -> Response:
    """Latents of each row."""
    return await _answer(request, server, EncodeRequest, server.operations.encode)


@router.post("/decode", openapi_extra=_documented(DecodeRequest))
async def decode(request: Request, server: ServerDependency) -> Response:
    """The row that each latent stands for."""
    return await _answer(request, server, DecodeRequest, server.operations.decode)


@router.post("/sample", openapi_extra=_documented(SampleRequest))
async def sample(request: Request, server: ServerDependency) -> Response:
    """Rows drawn from the flow; the same seed gives the same rows."""
    return await _answer(request, server, SampleRequest, server.operations.sample)


@router.post("/interpolate", openapi_extra=_documented(InterpolateRequest))
async def interpolate(request: Request, server: ServerDependency) -> Response:
    """Rows along a path between the latents of two rows."""
    return await _answer(request, server, InterpolateRequest, server.operations.interpolate)


async def _answer(
    request: Request, server: Server, schema: type[R], operation: Operation[R]
) -> Response:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _read(request, server.settings.max_body)
    except TimeoutError:
        raise TooSlowError(f"the body was not here after {BODY_SECONDS} seconds") from None
    query = dict(request.query_params)
    output = query.pop("output", None)
    asked = await _off_loop(len(body), partial(_parse, schema, content_type, body, query))
    model = server.store.get(asked.model, asked.version)
    answer = await operation(model, asked)
    own = next(iter(answer.arrays))
    endpoint = endpoint_label(request.url.path)
    server.metrics.rows.labels(endpoint, model.manifest.name).observe(len(answer.arrays[own]))
    if output is not None and output not in answer.arrays:
        raise InvalidInputError(f"output: there is no {output!r}, only {', '.join(answer.arrays)}")
    if _wants_npy(request, content_type):
        return _npy(model, answer, output or own)
    content = {
        "model": model.manifest.name,
        "version": model.manifest.version,
        **answer.arrays,
        **({} if answer.seed is None else {"seed": answer.seed}),
    }
    size = sum(array.nbytes for array in answer.arrays.values())
    return Response(await _off_loop(size, partial(dump_json, content)), media_type=JSON)


async def _off_loop(size: int, work: Callable[[], W]) -> W:
    """Do work on many bytes in a thread, so that other requests do not wait for it."""
    return await asyncio.to_thread(work) if size > LARGE else work()


async def _read(request: Request, limit: int) -> bytes:
    """The body, no more of it than the limit."""
    message = f"a request body may have {limit} bytes"
    if int(request.headers.get("content-length", 0)) > limit:
        raise TooLargeError(f"{message}, this one has {request.headers['content-length']}")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"{message}, this one has more")
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(schema: type[R], content_type: str, body: bytes, query: dict[str, str]) -> R:
    if content_type == NPY or not body:
        content: dict[str, Any] = dict(query)
        if "context" in query:
            content["context"] = np.array(query["context"].split(","))
        fields = _npy_fields(schema, body) if body else {}
        if twice := sorted(content.keys() & fields.keys()):
            raise InvalidInputError(f"{', '.join(twice)}: in the body, and in the URL as well")
        content |= fields
        strict = False  # a query string holds only strings
    elif content_type in JSON_TYPES:
        if query:
            raise InvalidInputError(
                f"with a JSON body, {sorted(query)} go in the body, not in the URL"
            )
        content, strict = parse_json(body), True
    else:
        raise UnsupportedMediaTypeError(f"expected {JSON} or {NPY}, got {content_type}")
    try:
        return schema.model_validate(content, strict=strict)
    except ValidationError as error:
        raise InvalidInputError("; ".join(map(readable, error.errors()))) from None


def _npy_fields(schema: type[FlowRequest], body: bytes) -> dict[str, Any]:
    array, names = parse_npy(body), schema.npy_fields
    if len(names) == 1:
        return {names[0]: array}
    if array.ndim == 0 or len(array) != len(names):
        raise InvalidInputError(
            f"expected {len(names)} × event shape (the rows {', '.join(names)}), got shape "
            f"{array.shape}"
        )
    return dict(zip(names, array, strict=True))


def _wants_npy(request: Request, content_type: str) -> bool:
    """Answer in the format accepted; where both or any are, in that of the request."""
    accept = request.headers.get("accept", "")
    if (NPY in accept) != (JSON in accept):
        return NPY in accept
    return content_type == NPY


def _npy(model: Model, answer: Answer, output: str) -> Response:
    headers = {
        "X-Bijecta-Model": model.manifest.name,
        "X-Bijecta-Version": str(model.manifest.version),
    }
    if answer.seed is not None:
        headers["X-Bijecta-Seed"] = str(answer.seed)
    return Response(dump_npy(answer.arrays[output]), media_type=NPY, headers=headers)
