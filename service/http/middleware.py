"""The outermost part of the application: every request passes it."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ServiceError
from service.http import problems
from service.http.admission import Admission
from service.http.asgi_route import PlainRoute
from service.http.origins import Origins, is_preflight, preflight, readable_by
from service.log import BrokenOffError
from service.metrics import OTHER
from service.telemetry import (
    CURRENT,
    MAX_PATH,
    RECEIVE,
    SCOPE_KEY,
    RequestRecord,
    Telemetry,
    Trace,
    request_id,
)

# Of which a span's name may be made; others are a caller's own words.
METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)


class RequestMiddleware:
    """Begins and ends the record of every request, and takes some to their plain ASGI routes.

    Every answer says the request's id, and where the time went (`Server-Timing`).

    Args:
        app: the application inside.
        routes: the plain ASGI routes; the application has them too, behind layers that take longer
            than a small flow.
        telemetry: takes the records.
        origins: which pages may ask, and for which hosts.
        admission: who may ask for what; None for everybody.
        root_path: below which a proxy shows the application, and which it may pass on.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[PlainRoute],
        telemetry: Telemetry,
        origins: Origins,
        admission: Admission | None,
        root_path: str,
    ) -> None:
        self.app = app
        self._telemetry = telemetry
        self._metrics = telemetry.metrics
        self._tracing = telemetry.tracing
        self._origins = origins
        self._admission = admission
        self._root_path = root_path
        starlette_routes = [(one, route) for route in routes for one in route.routes]
        self._exact = {one.path: r for one, r in starlette_routes if not one.param_convertors}
        self._patterns = [(one, r) for one, r in starlette_routes if one.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        outer = scope
        if self._root_path:
            scope = self._below_root(scope)
        route = self._route(scope)
        record = _record(scope, OTHER if route is None else route.name)
        if self._tracing is not None:  # a call of a tool is a request in a request
            self._tracing.begin(record, scope["headers"], scope.get(SCOPE_KEY))
        outer[SCOPE_KEY] = scope[SCOPE_KEY] = record  # the connection looks at its own
        if scope["method"] == "HEAD":  # wherever GET is; the answer without its body
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        app: ASGIApp = self.app
        if route is not None and scope["method"] == route.method:
            app = route
        origin, is_for_page = None, False
        try:
            if (origin := self._origins.other_origin(scope)) is not None:
                send = readable_by(origin, send)
                if is_for_page := is_preflight(scope):
                    app = preflight()
            if self._admission is not None and not is_for_page:
                self._admission.admit(scope)
        except ServiceError as error:
            app = problems.answer(scope, error)
            if origin is None and (origin := self._origins.reader(scope)) is not None:
                send = readable_by(origin, send)
        is_whole = False

        async def noted_send(message: Message) -> None:
            nonlocal is_whole
            if message["type"] == "http.response.start":
                record.answer(message["status"])
                headers = [*message.get("headers", ()), (b"x-request-id", record.id.encode())]
                if record.seconds[RECEIVE]:
                    headers.append((b"server-timing", record.server_timing()))
                message["headers"] = headers
            else:
                record.bytes_out += len(message.get("body", b""))
                is_whole = not message.get("more_body")
            await send(message)

        self._metrics.in_flight += 1
        CURRENT.set(record)
        try:
            await app(scope, receive, noted_send)
        except Exception as error:
            # starlette raises what it has answered once more
            if not is_whole:
                problems.say_broken_off(scope, error)
                raise BrokenOffError from None
        finally:
            self._metrics.in_flight -= 1
            if record.method == "HEAD":
                record.bytes_out = 0
            if record.trace is not None:
                _describe(record.trace, record, scope)
            self._telemetry.ended(record)

    def _below_root(self, scope: Scope) -> Scope:
        """A request without the root path, however often it is there.

        Starlette takes it off once more: what is checked here has to be the path that it finds.
        """
        root, path = self._root_path, scope["path"]
        while path.startswith(f"{root}/"):
            path = path.removeprefix(root)
        if path == root:  # the page, without the slash behind it
            path = "/"
        return {**scope, "path": path, "root_path": root}

    def _route(self, scope: Scope) -> PlainRoute | None:
        path = scope["path"]
        if (route := self._exact.get(path)) is not None:
            return route
        for one, route in self._patterns:
            if match := one.path_regex.match(path):
                scope["path_params"], scope["route"] = match.groupdict(), one
                return route
        return None


def _record(scope: Scope, endpoint: str) -> RequestRecord:
    """The record of a request that begins."""
    return RequestRecord(request_id(scope["headers"]), scope["method"], scope["path"], endpoint)


def _describe(trace: Trace, record: RequestRecord, scope: Scope) -> None:
    """Say of a span what OpenTelemetry's conventions for servers of HTTP have.

    https://opentelemetry.io/docs/specs/semconv/http/http-spans: nothing of the query and of
    headers is said, in which keys may stand.
    """
    method, path, status = record.method, record.path, record.status
    # what no route has is said of no span's name, and some server may make no UTF-8 of it
    route = path if record.endpoint != OTHER else None
    if (matched := scope.get("route")) is not None:
        route = matched.path
    attributes: dict[str, str | int] = {
        "http.request.method": method if method in METHODS else "_OTHER",
        "url.scheme": scope.get("scheme", "http"),
        "url.path": path[:MAX_PATH].encode(errors="replace").decode(),
        "network.protocol.version": scope["http_version"],
    }
    if route is not None:
        attributes["http.route"] = route
    if status:
        attributes["http.response.status_code"] = status
    trace.is_error = status >= 500 or (record.reason != "" and status < 400)
    if trace.is_error:
        attributes["error.type"] = str(status) if status >= 500 else record.reason
    trace.name = " ".join(filter(None, (method if method in METHODS else "HTTP", route)))
    trace.attributes = dict(attributes)


def _without_body(send: Send) -> Send:
    """Send the head of an answer alone."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
