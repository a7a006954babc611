"""Which requests take a key, and what for: where a server has keys, everything that is not open.

Callers send `Authorization: Bearer KEY` and nothing else. That is the one header that proxies,
browsers and clients treat as a secret: they keep it out of their logs, and do not take it along to
another host. A URL is what all of them write down, so that a key in one is refused.
"""

import re

from starlette.types import Scope

from service.errors import KeyInUrlError, UnauthorizedError
from service.http.origins import CONTROL_PATH, HEALTH_PATHS
from service.playground import PAGES
from service.security import ASKING, CONTROLLING, MEASURING, PREFIX, READING, Key, without_keys
from service.security import Scope as KeyScope
from service.server import Server
from service.telemetry import of_scope

# The key of an ASGI scope under which a request has its key.
KEY = "bijecta.key"

# Probes have no key, and a browser sends none with the address of a page. What /, /docs and
# /llms.txt show is the same for every server of this version; the page's own requests need a key.
OPEN_PATHS = HEALTH_PATHS | {"/openapi.json", "/llms.txt"} | {page.path for page in PAGES}
OPEN_FOLDERS = tuple(page.files_path for page in PAGES)

METRICS_PATH = "/metrics"
INDEX_PATH = f"{CONTROL_PATH}index"
STATISTICS_PATH = "/v2/models/stats"
"""Of all models: that of none by this name."""

# Of a request whose path names a model: whether it is by the protocol, and its name.
NAMED_MODEL = re.compile(r"/(v2/(?:repository/)?)?models/([^/]+)")

KEY_IN_QUERY = re.compile(
    rb"(?:^|[&;])(?:access[-_]?token|api[-_]?key|auth(?:orization)?|bearer|key|token)="
    rb"|" + PREFIX.encode(),
    re.IGNORECASE,
)


class Admission:
    """Admits the requests that come with a key for what they ask.

    Args:
        server: which has keys.
    """

    def __init__(self, server: Server) -> None:
        self._keyring = server.keyring
        self._server = server

    def admit(self, scope: Scope) -> None:
        """Find the key of a request, and check that it is for that.

        A request that a tool makes for a caller (`service.mcp`) is that caller's own, and counts
        no second time.

        Raises:
            ServiceError: it is not, or there is none.
        """
        path = scope["path"]
        if self._keyring is None or path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
            return
        query, is_new = scope["query_string"], KEY not in scope
        if (query and KEY_IN_QUERY.search(query)) or without_keys(path) != path:
            raise KeyInUrlError(
                "a key does not belong in a URL, which others write down: revoke it, and send "
                "another one as Authorization: Bearer KEY"
            )
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(authorization) > 1:
            raise UnauthorizedError("there are several Authorization headers: send one")
        key = self._keyring.find(authorization[0] if authorization else None)
        of_scope(scope).key = key.name
        key.check_scope(_scopes(scope["method"], path))
        if is_new:
            key.charge_request()
        if key.models is not None and path != STATISTICS_PATH and (at := NAMED_MODEL.match(path)):
            name = at[2].partition(".")[0] if at[1] else at[2]
            self._server.check_started()  # until then there are no models
            key.check_model(name, self._server.store.entries)
        scope[KEY] = key


def _scopes(method: str, path: str) -> tuple[KeyScope, ...]:
    """What a key is to be for: one of these."""
    if path == METRICS_PATH:
        return MEASURING
    if path.startswith(CONTROL_PATH) and path != INDEX_PATH:
        return CONTROLLING
    return READING if method == "GET" or path == INDEX_PATH else ASKING


def key_of(scope: Scope) -> Key | None:
    """The key with which a request came; None where it needs none."""
    key: Key | None = scope.get(KEY)
    return key


def may_see(scope: Scope, name: str) -> bool:
    """Whether a listing for this request has a model of that name."""
    key: Key | None = scope.get(KEY)
    return key is None or key.may_ask(name)
