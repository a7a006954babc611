"""Who may ask from where: the hosts that a request may name, and the pages that may send one.

A browser sends what any page tells it to, to whatever this machine can reach. It says from which
page (`Origin`), and keeps answers from a page of another origin; but a request that changes or
computes something has done so by then. Two things are looked at:

- `Origin`, of requests that are not GET, HEAD or OPTIONS: it is that of this server, or one of
  `--allowed-origins`. Programs send none.
- `Host`, of all requests but those for health: a page whose name has been made to lead here (DNS
  rebinding) is of the same origin as this server, by that name. `--allowed-hosts` says which names
  there are.
"""

from collections.abc import Callable
from functools import lru_cache

from starlette.responses import Response
from starlette.types import Message, Scope, Send

from service.errors import ForeignOriginError, UnknownHostError
from service.settings import Settings, is_loopback

# Methods that change nothing and compute nothing, as RFC 9110 says.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Whoever looks after servers asks them by address.
HEALTH_PATHS = frozenset({"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})

# Below this, models are loaded and unloaded.
CONTROL_PATH = "/v2/repository/"

# What a page may send and read, beyond what every page may (Fetch standard, CORS protocol).
REQUEST_HEADERS = (
    "Accept, Authorization, Content-Encoding, Content-Type, Inference-Header-Content-Length, \
Traceparent, Tracestate, X-Request-Id, X-Request-Timeout"
)
ANSWER_HEADERS = "Inference-Header-Content-Length, Retry-After, Server-Timing, WWW-Authenticate, \
X-Bijecta-Model, X-Bijecta-Seed, X-Bijecta-Version, X-Request-Id"
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": REQUEST_HEADERS,
    "Access-Control-Max-Age": "600",
}

# Longer names are of no host (RFC 1035).
MAX_HOST = 300


class Origins:
    """Which hosts and origins requests may name.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: Settings) -> None:
        hosts = settings.hosts
        self._is_host: Callable[[bytes], bool] | None = None
        self._is_control_host: Callable[[bytes], bool] | None = None
        if hosts:
            if "*" not in hosts:
                self._is_host = lru_cache(256)(lambda host: _is_named(host_name(host), hosts))
        elif settings.control_port is None:
            # no page reaches a UNIX socket by a name of its own
            if settings.model_control and settings.uds is None and is_loopback(settings.host):
                self._is_host = _is_loopback_host
        elif is_loopback(settings.control_host):
            self._is_control_host = _is_loopback_host
        self._origins = frozenset(settings.origins)

    def other_origin(self, scope: Scope) -> bytes | None:
        """The origin of a request, where it is another than this server's and may ask.

        Args:
            scope: of a request.

        Raises:
            UnknownHostError: it is for another host.
            ForeignOriginError: it changes or computes something for a page that may not ask.
        """
        origin = _field(scope, b"origin")
        if origin is None and self._is_host is None and self._is_control_host is None:
            return None
        host, path = _field(scope, b"host") or b"", scope["path"]
        if self._is_host is not None and path not in HEALTH_PATHS:
            _check_host(self._is_host, host)
        if self._is_control_host is not None and path.startswith(CONTROL_PATH):
            _check_host(self._is_control_host, host)
        if origin is None or origin.lower().partition(b"://")[2] == host.lower():
            return None
        text = origin.decode("latin-1").lower()
        if text in self._origins:
            return origin
        if "*" in self._origins and not path.startswith(CONTROL_PATH):
            return origin
        if is_preflight(scope) or scope["method"] not in SAFE_METHODS:
            raise ForeignOriginError(
                f"Origin: pages of {text!r:.80} may not ask here: --allowed-origins lists those "
                "that may"
            )
        return None

    def reader(self, scope: Scope) -> bytes | None:
        """The origin of a request that is refused, where it may ask others and so read why."""
        origin = _field(scope, b"origin")
        if origin is None or not self._origins & {"*", origin.decode("latin-1").lower()}:
            return None
        return origin

    def refusal_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """The headers with which it reads that, of a request that no application sees."""
        origin = self.reader(scope)
        return [] if origin is None else _page_headers(origin)


def is_preflight(scope: Scope) -> bool:
    """Whether a browser asks what a page may send, before it sends it."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def preflight() -> Response:
    """What a page may send: the answer to OPTIONS before its request."""
    return Response(status_code=204, headers=PREFLIGHT)


def readable_by(origin: bytes, send: Send) -> Send:
    """Send an answer that a page may read.

    Args:
        origin: of the page.
        send: of the request.
    """
    headers = _page_headers(origin)

    async def send_readable(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return send_readable


def _page_headers(origin: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", ANSWER_HEADERS.encode()),
        (b"vary", b"Origin"),
    ]


def host_name(host: bytes) -> str:
    """The name or address that a `Host` begins with, in lower case, without its port."""
    text = host.decode("latin-1").strip().lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].removesuffix(".")


def _field(scope: Scope, name: bytes) -> bytes | None:
    """The first value of a header; None where it is not there."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


@lru_cache(256)
def _is_loopback_host(host: bytes) -> bool:
    return is_loopback(host_name(host))


def _check_host(is_known: Callable[[bytes], bool], host: bytes) -> None:
    if not is_known(host[:MAX_HOST]):
        raise UnknownHostError(
            f"Host: {host.decode('latin-1')!r:.80} is none of this server's names: --allowed-hosts "
            "lists them"
        )


def _is_named(name: str, hosts: tuple[str, ...]) -> bool:
    return any(name.endswith(host[1:]) if host.startswith("*.") else name == host for host in hosts)
