"""The application in this process: called directly, or behind one of two ASGI servers."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope

from service.http.app import create_app
from service.http.connections import Connection, ConnectionLimits, Connections
from service.metrics import Metrics
from service.server import Server
from service.settings import Settings
from tests.helpers.waiting import free_port, until, wait_until


def make_server(store: Path, **settings: Any) -> Server:
    return Server(Settings(store=store, device="cpu", **settings))


@asynccontextmanager
async def running_app(store: Path, **settings: Any) -> AsyncIterator[tuple[ASGIApp, Server]]:
    """An application whose models are loaded, in the running loop."""
    server = make_server(store, **settings)
    app = create_app(server)
    async with server.running():
        await until(lambda: server.ready)
        yield app, server


@dataclass
class AsgiAnswer:
    """What an application sent."""

    status: int
    headers: dict[str, str]
    body: bytes


async def call(
    app: ASGIApp, path: str, receive: Receive, headers: dict[str, str] | None = None
) -> AsgiAnswer:
    """Send one POST request as an ASGI server does, but with this `receive`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    start, *bodies = sent
    head = {k.decode(): v.decode() for k, v in start["headers"]}
    return AsgiAnswer(start["status"], head, b"".join(m.get("body", b"") for m in bodies))


class Held:
    """Whether a question that does not end by itself has begun, and has been cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()


@contextmanager
def behind_uvicorn(app: ASGIApp) -> Iterator[int]:
    """The port of a uvicorn server of an application, with our own connections."""
    registry = Connections(ConnectionLimits(), Metrics().connections)
    http: Any = partial(Connection, registry=registry)
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=http, ws="none", log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def behind_hypercorn(app: ASGIApp) -> Iterator[int]:
    """The port of a hypercorn server of an application."""
    port = free_port()
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 1
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    untyped: Any = app  # hypercorn has types of its own for the same thing
    serving = hypercorn.asyncio.serve(untyped, config, shutdown_trigger=stop.wait)
    thread = threading.Thread(target=loop.run_until_complete, args=(serving,))
    thread.start()
    try:
        wait_until(lambda: _listens(port))
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


Behind = Callable[[ASGIApp], AbstractContextManager[int]]
ASGI_SERVERS: dict[str, Behind] = {"uvicorn": behind_uvicorn, "hypercorn": behind_hypercorn}


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
