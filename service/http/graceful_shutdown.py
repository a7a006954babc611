"""From the start of the process to its end: uvicorn, made to stop in the right order."""

import asyncio
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any, NoReturn, Protocol

import uvicorn

from service.http.app import create_app
from service.http.connections import (
    Connection,
    ConnectionLimits,
    Connections,
    SharedListener,
    listen_with_copies,
    stop_accepting,
)
from service.http.gc_policy import apply_gc_policy
from service.http.origins import Origins
from service.processes import STARTUP_FAILURE, WorkerProcess
from service.server import Server

log = logging.getLogger(__name__)

# How often the files of a certificate are looked at, in seconds.
TLS_SECONDS = 60.0


class Listener(Protocol):
    """Another protocol on a port of its own, in the event loop of HTTP."""

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port cannot be had.
        """
        ...

    async def stop(self, seconds: float) -> None:
        """Take nothing more, and answer what has been accepted; give up after so many seconds."""
        ...

    async def abort(self) -> None:
        """End at once."""
        ...


class Process(uvicorn.Server):
    """uvicorn with a server's models, which it outlives on neither side.

    It listens at once and says that it is not ready until the models are loaded. On SIGTERM or
    SIGINT it says so again and goes on answering for `drain_seconds`, so that whoever routes
    requests here can stop; every answer says that it is the last on its connection. Then it takes
    no more connections, answers on those that it has until they fall silent, and ends. A second
    signal ends it at once.

    A worker listens on the sockets of its parent; one that takes the place of another does so when
    its models are loaded, as long as others answer.

    Args:
        server: whose models.
        listeners: of other protocols.
        worker: which of several processes this one is; None where it is the only one.
    """

    def __init__(
        self,
        server: Server,
        listeners: Sequence[Listener] = (),
        worker: WorkerProcess | None = None,
    ) -> None:
        settings = server.settings
        limits = ConnectionLimits.of(settings)
        self._all_connections = Connections(limits, server.metrics.connections)
        self._all_connections.on_refusal = server.telemetry.refused
        self._all_connections.on_overload = server.telemetry.turned_away
        self._all_connections.refusal_headers = Origins(settings).refusal_headers
        if worker is not None:
            self._all_connections.on_count = partial(worker.board.set_connections, worker.number)
        self._tls_at = time.monotonic()
        http: Any = partial(Connection, registry=self._all_connections)  # for uvicorn, a class
        super().__init__(
            uvicorn.Config(
                create_app(server),
                host=settings.host,
                port=settings.port,
                uds=None if settings.uds is None else str(settings.uds),
                ssl_context_factory=None if server.tls is None else self._context,
                http=http,
                ws="none",
                access_log=False,
                log_config=None,  # every line of the log passes `service.log`
                proxy_headers=False,  # who asks, and how, is of no interest
                backlog=65535,  # the kernel's bound holds: what finds no place is broken off
            )
        )
        self._served = server
        self._listeners = listeners
        self._worker = worker
        self._is_listening = self._is_orphan = False
        self._end = float("inf")
        server.polling.on_failure = self._stop
        server.group.on_orphaned(self._stop_as_orphan)
        self._collect = apply_gc_policy(settings.gc_policy)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second time, or where nothing has to be waited for, stop."""
        if self._served.draining:
            self.force_exit = True
        self._served.draining = self._all_connections.is_draining = True
        self._end = time.monotonic() + self._served.settings.drain_seconds
        if self.force_exit or sig == signal.SIGINT or not self._all_stop:
            self._stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, on the port of model control as well where it has its own."""
        if self._worker is not None:
            await self._start_worker(self._worker)
            return
        try:
            await super().startup(sockets)
        except OSError as error:  # of a UNIX socket, which uvicorn does not catch
            await self._fail("%s: %s", self._served.settings.uds, error.strerror or error)
        try:
            for listener in self._listeners:
                await listener.start()
        except OSError as error:
            await self._fail("%s", error)
        config, protocol = self.config, self._protocol()
        self.servers += await listen_with_copies(self.servers, protocol, config.backlog, config.ssl)
        port, host = self._served.control_port, self._served.settings.control_host
        if port is None:
            return
        try:
            control = await asyncio.get_running_loop().create_server(
                protocol, host, port, ssl=config.ssl
            )
        except OSError as error:
            await self._fail("model control: %s", error)
        self.servers.append(control)
        self._served.control_port = control.sockets[0].getsockname()[1]
        log.info("models are loaded and unloaded on %s:%d", host, self._served.control_port)

    async def _start_worker(self, worker: WorkerProcess) -> None:
        """Begin, and listen at once or later."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        self.servers = []
        self.started = True
        worker.beat(is_listening=False, is_ready=False)
        await self._listen_if_due(worker)

    async def _listen_if_due(self, worker: WorkerProcess) -> None:
        """Take connections of the parent's sockets, where callers are better off for it."""
        if self._is_listening or (worker.listens_later and self._served.own_not_ready):
            return
        self._is_listening = True
        try:
            for listener in self._listeners:
                await listener.start()
        except OSError as error:
            await self._fail("%s", error)
        protocol, config, sockets = self._protocol(), self.config, worker.sockets
        listeners = [
            SharedListener(
                each,
                protocol,
                config.backlog,
                config.ssl,
                lambda is_late: worker.board.room(worker.number, is_late=is_late),
                self._all_connections.expect,
            )
            for each in (sockets.http, sockets.control)
            if each
        ]
        self.servers += listeners  # type: ignore[arg-type]
        if sockets.control:
            self._served.control_port = sockets.control[0].getsockname()[1]

    @property
    def _all_stop(self) -> bool:
        """Whether no other worker goes on answering."""
        return self._worker is None or self._is_orphan or self._worker.board.is_stopping

    def _protocol(self) -> Any:
        """What makes the protocol of a connection."""
        config: Any = self.config
        return partial(
            config.http_protocol_class,
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second."""
        if self._worker is not None:
            await self._listen_if_due(self._worker)
            self._worker.beat(self._is_listening, not self._served.own_not_ready)
        if time.monotonic() >= self._end:
            self._stop()
        if (tls := self._served.tls) and time.monotonic() - self._tls_at >= TLS_SECONDS:
            self._tls_at = time.monotonic()
            tls.refresh()
        self._collect()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what has been accepted, then end; after `stop_seconds`, in any case."""
        end = time.monotonic() + self._served.settings.stop_seconds
        self._served.draining = True
        worker, uds = self._worker, self._served.settings.uds
        if uds is not None and self.started and worker is None:
            uds.unlink(missing_ok=True)
        if worker is not None:
            worker.leave()
        if not self.force_exit:
            # the sockets of a worker that ends alone are those of the others
            await stop_accepting(self.servers, keeps_out=self._all_stop)
        self._all_connections.stop()
        seconds = end - time.monotonic()
        stops = [asyncio.create_task(listener.stop(seconds)) for listener in self._listeners]
        while len(self._all_connections) or not all(stop.done() for stop in stops):
            if self.force_exit or time.monotonic() >= end:
                break
            await asyncio.sleep(0.02)
            self._collect()
        for listener in self._listeners:
            await listener.abort()
        await asyncio.gather(*stops)
        # uvicorn's own wait is for those that are left, and for what the application still does
        self.config.timeout_graceful_shutdown = max(1, round(end - time.monotonic()))
        await super().shutdown(sockets)

    async def _fail(self, text: str, *arguments: object) -> NoReturn:
        """End, as it cannot listen."""
        log.error(text, *arguments)
        self.servers = getattr(self, "servers", [])
        await self.shutdown()
        sys.exit(STARTUP_FAILURE)

    def _context(self, *_: object) -> ssl.SSLContext:
        assert self._served.tls is not None
        return self._served.tls.context

    def _stop_as_orphan(self) -> None:
        """Stop as on SIGTERM: the parent is gone, of the other workers as well."""
        self._is_orphan = True
        self.handle_exit(signal.SIGTERM, None)

    def _stop(self) -> None:
        self.should_exit = True
