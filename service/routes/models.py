"""What the server holds."""

from typing import Any

from fastapi import APIRouter

from service.routes.dependencies import ServerDependency
from service.store import Model

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def models(server: ServerDependency) -> dict[str, Any]:
    """Every model, described by its newest version; and what was refused, with the reason."""
    store = server.store
    return {
        "default": store.default,
        "models": [
            _summary(versions[max(versions)]) | {"versions": sorted(versions)}
            for _, versions in sorted(store.models.items())
        ],
        "refused": [
            {"name": name, "version": version, "reason": reason}
            for name, versions in sorted(store.refused.items())
            for version, reason in sorted(versions.items())
        ],
    }


@router.get("/{name}")
async def model(server: ServerDependency, name: str, version: int | None = None) -> dict[str, Any]:
    """The manifest of one model, and the provider that runs it."""
    found = server.store.get(name, version)
    return found.manifest.model_dump() | {"provider": found.engine.provider}


def _summary(model: Model) -> dict[str, Any]:
    fields = {"name", "version", "family", "event_shape", "base", "cost", "data", "held_out"}
    fields |= {"context"}
    return model.manifest.model_dump(include=fields) | {"provider": model.engine.provider}
