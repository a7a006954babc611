"""A server in this process on a folder of one small bundle, and what its models leave behind."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from starlette.types import ASGIApp

from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from service.store import Model
from tests.helpers.stores import edit
from tests.helpers.waiting import until

NAME = "tiny"
"""Of the bundle."""


@dataclass
class Running:
    """A server in this process."""

    server: Server
    app: ASGIApp
    folder: Path

    @property
    def model(self) -> Model:
        (model,) = self.server.store.models
        return model

    async def replace(self) -> None:
        """Put other files in the model's place, and have them loaded."""
        edit(self.folder / NAME / "1", made_with={"by": "somebody else"})
        await self.server.store.refresh()


@asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Running]:
    server = Server(Settings(store=folder, device="cpu", model_control=True, **options))
    app = create_app(server)
    async with server.running():
        await until(lambda: server.ready)
        yield Running(server, app, folder)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(limited())


def threads() -> int:
    return sum(thread.name.startswith(f"{NAME}-") for thread in threading.enumerate())


def sessions() -> int:
    return sum(type(each) is onnxruntime.InferenceSession for each in gc.get_objects())
