"""The outermost part of the application: every request passes it."""

import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics, endpoint_label


class Front:
    """Counts and times every request, and brings those that come often straight to their endpoint.

    Args:
        app: the application inside.
        direct: endpoints of POST requests by path; the application has the same ones, behind
            layers that take longer than a small flow.
        metrics: where the figures go.
    """

    def __init__(self, app: ASGIApp, direct: Mapping[str, ASGIApp], metrics: Metrics) -> None:
        self.app = app
        self.direct = direct
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        app = self.direct.get(path, self.app) if scope["method"] == "POST" else self.app
        started = time.perf_counter()
        code = 0  # the caller left before there was an answer

        async def counted_send(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        self.metrics.in_flight += 1
        try:
            await app(scope, receive, counted_send)
        finally:
            self.metrics.in_flight -= 1
            self.metrics.answered(endpoint_label(path), code, time.perf_counter() - started)
