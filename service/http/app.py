"""The HTTP application: routes, errors and metrics around one `Server`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from service.http.admission import Admission
from service.http.asgi_route import PlainRoute
from service.http.middleware import RequestMiddleware
from service.http.origins import Origins
from service.http.problems import add_handlers
from service.http.routes import (
    NATIVE_ERRORS,
    ROUTERS,
    InferRoute,
    McpRoute,
    flow_routes,
    infer_paths,
    openapi_paths,
    page_routes,
)
from service.server import Server

DESCRIPTION = """\
Exact log-likelihoods, samples, encodings and interpolations of normalizing flows, and anomaly
scores of detectors.

Arrays travel as JSON (`application/json`), as one npy array (`application/x-npy`) or as an Arrow
stream (`application/vnd.apache.arrow.stream`); with the last two the other fields go in the query
string. `Accept` names the format of the answer. A body may be compressed (`Content-Encoding: gzip`
or `deflate`). log_prob is in nats per row; `null` in JSON is −∞, the log-density of a row outside
the model's support, or +∞, its score. Errors are `application/problem+json`.
"""


def create_app(server: Server) -> ASGIApp:
    """The application that answers for a server; lets its models go at shutdown."""
    mcp = McpRoute(server) if server.settings.mcp else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with server.running(), nullcontext() if mcp is None else mcp.tools.running():
            yield

    app = FastAPI(
        title="Bijecta",
        version=version("bijecta"),
        description=DESCRIPTION,
        lifespan=lifespan,
        # a page of its own, as FastAPI's takes its scripts from elsewhere
        docs_url=None,
        redoc_url=None,
        # to whatever Host says, and a client that follows one by GET has lost its body
        redirect_slashes=False,
        responses=NATIVE_ERRORS,
    )
    app.state.server = server
    add_handlers(app)
    on_flows = flow_routes(server)
    routes: list[PlainRoute] = [*on_flows, InferRoute(server)]
    if mcp is not None:
        routes.append(mcp)
    routes += page_routes(server)
    for route in routes:
        app.router.routes.extend(route.routes)
    for router in ROUTERS:
        app.include_router(router)
    first, last = openapi_paths(on_flows), infer_paths()

    def openapi() -> dict[str, Any]:
        described = FastAPI.openapi(app)
        described["paths"] = first | described["paths"] | last
        if server.keyring is not None:
            schemes = described.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["key"] = {"type": "http", "scheme": "bearer"}
            described["security"] = [{"key": []}]
        return described

    app.openapi = openapi  # type: ignore[method-assign]
    admission = None if server.keyring is None else Admission(server)
    origins, root_path = Origins(server.settings), server.settings.root_path
    outermost = RequestMiddleware(app, routes, server.telemetry, origins, admission, root_path)
    if mcp is not None:
        mcp.tools.app = outermost
    return outermost
