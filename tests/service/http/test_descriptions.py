"""What a server says of its models costs a caller's question nothing that grows with a manifest."""

import asyncio
from pathlib import Path

import httpx
import pytest

from service.bundle import Manifest
from tests.helpers.asgi import running_app


def test_a_manifest_is_written_once_however_often_it_is_asked_for(
    moons_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumped: list[str] = []
    dump = Manifest.model_dump

    def counted(self: Manifest, **options: object) -> object:
        dumped.append(self.name)
        return dump(self, **options)  # type: ignore[arg-type]

    async def work() -> None:
        async with running_app(moons_store) as (app, server):
            (model,) = server.store.models
            monkeypatch.setattr(Manifest, "model_dump", counted)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                for _ in range(5):
                    one = (await client.get("/models/moons-maf")).json()
                    every = (await client.get("/models")).json()
            manifest = dump(model.manifest, mode="json")
            beside = {"provider": "CPUExecutionProvider", "aliases": {}, "withdrawn": []}
            assert one == manifest | beside
            (listed,) = every["models"]
            assert listed.pop("versions") == [1]
            assert listed.items() <= one.items()
            assert len(dumped) <= 2

    asyncio.run(work())
