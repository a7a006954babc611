"""From the start of the process to its end: uvicorn, made to stop in the right order."""

import signal
import time
from types import FrameType

import uvicorn

from service.http.app import create_app
from service.http.gc_policy import apply_gc_policy
from service.server import Server


class Process(uvicorn.Server):
    """uvicorn with a server's models, which it outlives on neither side.

    It listens at once and says that it is not ready until the models are loaded. On SIGTERM or
    SIGINT it says so again and goes on answering for `drain_seconds`, so that whoever routes
    requests here can stop; then it takes no more and answers those that it has. A second signal
    ends it at once.

    Args:
        server: whose models.
    """

    def __init__(self, server: Server) -> None:
        settings = server.settings
        super().__init__(
            uvicorn.Config(
                create_app(server),
                host=settings.host,
                port=settings.port,
                access_log=False,
                log_config=None,  # every line of the log passes `service.log`
                proxy_headers=False,  # who asks, and how, is of no interest
                backlog=65535,  # the kernel's bound holds: what finds no place is broken off
                timeout_keep_alive=65,  # longer than proxies keep theirs, so that they close first
                timeout_graceful_shutdown=settings.stop_seconds,
            )
        )
        self._served = server
        self._end = float("inf")
        server.on_failure = self._stop
        self._collect = apply_gc_policy(settings.gc_policy)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second time, or where nothing has to be waited for, stop."""
        if self._served.draining:
            self.force_exit = True
        self._served.draining = True
        self._end = time.monotonic() + self._served.settings.drain_seconds
        if self.force_exit or sig == signal.SIGINT:
            self._stop()

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second."""
        if time.monotonic() >= self._end:
            self._stop()
        self._collect()
        return await super().on_tick(counter)

    def _stop(self) -> None:
        self.should_exit = True
