"""The outermost part of the application: every request passes it."""

import time
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ServiceError
from service.http import problems
from service.http.asgi_route import AsgiRoute
from service.http.origins import Origins, is_preflight, preflight, readable_by
from service.http.problems import LABEL
from service.log import BrokenOffError
from service.metrics import OTHER, Metrics


class RequestMiddleware:
    """Counts and times every request, and takes those of plain ASGI routes to them at once.

    Args:
        app: the application inside.
        routes: the plain ASGI routes; the application has them too, behind layers that take longer
            than a small flow.
        metrics: where the figures go.
        origins: who may ask.
    """

    def __init__(
        self, app: ASGIApp, routes: Sequence[AsgiRoute], metrics: Metrics, origins: Origins
    ) -> None:
        self.app = app
        self.metrics = metrics
        self._origins = origins
        starlette_routes = [(one, route) for route in routes for one in route.routes]
        self._exact = {one.path: r for one, r in starlette_routes if not one.param_convertors}
        self._patterns = [
            (one.path_regex, r) for one, r in starlette_routes if one.param_convertors
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # wherever GET is; the answer without its body
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        route = self._route(scope)
        label = OTHER if route is None else route.name
        app: ASGIApp = self.app
        if route is not None and scope["method"] == "POST":
            app = route
        else:
            scope[LABEL] = label  # for the answer to what fails in there
        try:
            if (origin := self._origins.other_origin(scope)) is not None:
                send = readable_by(origin, send)
                if is_preflight(scope):
                    app = preflight()
        except ServiceError as error:
            app = problems.answer(self.metrics, scope, label, error)
        started = time.perf_counter()
        code = 0  # the caller left before there was an answer
        is_whole = False

        async def counted_send(message: Message) -> None:
            nonlocal code, is_whole
            if message["type"] == "http.response.start":
                code = message["status"]
            elif not message.get("more_body"):
                is_whole = True
            await send(message)

        self.metrics.in_flight += 1
        try:
            await app(scope, receive, counted_send)
        except Exception as error:
            # starlette raises what it has answered once more
            if not is_whole:
                problems.count_broken_off(self.metrics, scope, label, error)
                raise BrokenOffError from None
        finally:
            self.metrics.in_flight -= 1
            self.metrics.answered(label, code, time.perf_counter() - started)

    def _route(self, scope: Scope) -> AsgiRoute | None:
        path = scope["path"]
        if (route := self._exact.get(path)) is not None:
            return route
        for pattern, route in self._patterns:
            if match := pattern.match(path):
                scope["path_params"] = match.groupdict()
                return route
        return None


def _without_body(send: Send) -> Send:
    """Send the head of an answer alone."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
