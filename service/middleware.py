"""Pure ASGI middleware."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics, endpoint_label


class Measured:
    """Counts and times every request.

    Args:
        app: the application inside.
        metrics: where the figures go.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an HTTP request on, and count and time it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        endpoint = endpoint_label(scope["path"])
        started = time.perf_counter()
        code = "none"  # the caller left before there was an answer

        async def counted_send(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
            await send(message)

        with self.metrics.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, counted_send)
            except Exception:
                code = "500"  # answered outside of this middleware
                raise
            finally:
                self.metrics.requests.labels(endpoint, code).inc()
                self.metrics.duration.labels(endpoint).observe(time.perf_counter() - started)
