"""What the server holds."""

import math

import orjson
from fastapi import APIRouter, Response

from service.codecs import JSON_TYPE
from service.http.request_body import ServerDependency

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def models(server: ServerDependency) -> Response:
    """Every model, described by its newest version; and what was refused, with the reason."""
    store = server.store
    listed = {
        "default": store.default,
        "models": [
            loaded[max(loaded)].summary | {"versions": sorted(loaded)}
            for _, versions in sorted(store.entries.items())
            if (loaded := {v: entry.model for v, entry in versions.items() if entry.model})
        ],
        "refused": [
            {"name": name, "version": version, "reason": entry.refused}
            for name, versions in sorted(store.entries.items())
            for version, entry in sorted(versions.items())
            if entry.refused
        ],
    }
    # FastAPI's encoder takes a hundred times as long
    return Response(orjson.dumps(listed), media_type=JSON_TYPE)


@router.get("/{name}")
async def model(server: ServerDependency, name: str, version: int | None = None) -> Response:
    """The manifest of one model, and the provider that runs it."""
    with await server.store.get(name, version) as loaded:
        content = await server.threads.run(math.inf, lambda: loaded.description)
    return Response(content, media_type=JSON_TYPE)
