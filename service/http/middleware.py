"""The outermost part of the application: every request passes it."""

import time
from collections.abc import Sequence

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics


class Front:
    """Counts and times every request, and brings those that come often straight to their endpoint.

    Args:
        app: the application inside.
        often: routes of POST requests; the application has them too, behind layers that take
            longer than a small flow.
        metrics: where the figures go.
    """

    def __init__(self, app: ASGIApp, often: Sequence[Route], metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self._exact = {route.path: route.app for route in often if not route.param_convertors}
        self._patterns = [(r.path_regex, r.app) for r in often if r.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        app = self._endpoint(scope) if scope["method"] == "POST" else self.app
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
            label = self.metrics.endpoint_label(path)
            self.metrics.answered(label, code, time.perf_counter() - started)

    def _endpoint(self, scope: Scope) -> ASGIApp:
        path = scope["path"]
        if found := self._exact.get(path):
            return found
        for pattern, app in self._patterns:
            if match := pattern.match(path):
                scope["path_params"] = match.groupdict()
                return app
        return self.app
