"""What the server holds."""

from typing import Any

from fastapi import APIRouter

from service.http.request_body import ServerDependency
from service.store import Model

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def models(server: ServerDependency) -> dict[str, Any]:
    """Every model, described by its newest version; and what was refused, with the reason."""
    store = server.store
    return {
        "default": store.default,
        "models": [
            _summary(loaded[max(loaded)]) | {"versions": sorted(loaded)}
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


@router.get("/{name}")
async def model(server: ServerDependency, name: str, version: int | None = None) -> dict[str, Any]:
    """The manifest of one model, and the provider that runs it."""
    with await server.store.get(name, version) as loaded:
        return loaded.manifest.model_dump() | {"provider": loaded.engine.provider}


def _summary(model: Model) -> dict[str, Any]:
    fields = {"name", "version", "family", "event_shape", "base", "cost", "data", "held_out"}
    fields |= {"columns", "context"}
    return model.manifest.model_dump(include=fields) | {"provider": model.engine.provider}
