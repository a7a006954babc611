"""What the server holds."""

import math
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from service.codecs import JSON_TYPE
from service.http.admission import may_see
from service.http.request_body import ServerDependency
from service.store import Entry

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", summary="List the models, and what was refused")
async def models(server: ServerDependency, request: Request) -> Response:
    """Every model, described by the version that its name means; what was refused, and why."""
    store, scope = server.store, request.scope
    default = store.default
    seen = {name: store.entries[name] for name in sorted(store.entries) if may_see(scope, name)}
    listed = {
        "default": default if default and may_see(scope, default.partition("@")[0]) else None,
        "models": [
            _described(loaded) | {"versions": sorted(loaded)} | store.naming.describe(name)
            for name, versions in seen.items()
            if (loaded := {v: entry for v, entry in versions.items() if entry.model})
        ],
        "refused": [
            {"name": name, "version": version, "reason": entry.refused}
            for name, versions in seen.items()
            for version, entry in sorted(versions.items())
            if entry.refused
        ],
        "refused_names": [
            {"name": name, "reason": problem}
            for name, problem in sorted(store.naming.problems.items())
            if name in seen
        ],
    }
    # FastAPI's encoder takes a hundred times as long
    return Response(orjson.dumps(listed), media_type=JSON_TYPE)


def _described(loaded: dict[int, Entry]) -> dict[str, Any]:
    """What a list of models says of one, by its newest version that was not taken back."""
    newest = max([v for v, entry in loaded.items() if not entry.withdrawn] or loaded)
    model = loaded[newest].model
    assert model is not None
    return model.summary


@router.get("/{name}", summary="Describe one model by its manifest")
async def model(server: ServerDependency, name: str, version: int | None = None) -> Response:
    """The manifest of one model, the provider that runs it, and the aliases of its versions."""
    with await server.store.get(name, version) as loaded:
        content = await server.threads.run(math.inf, lambda: loaded.description)
        names = orjson.dumps(server.store.naming.describe(loaded.manifest.name))
    # both are objects with keys: the manifest of a large model takes long to be written anew
    return Response(b"%b,%b" % (content[:-1], names[1:]), media_type=JSON_TYPE)
