"""`GET /`: the page that tries models in a browser, and its files below `/playground/`."""

from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http import problems
from service.http.admission import PLAYGROUND_PATH
from service.http.asgi_route import PlainRoute
from service.http.request_body import Headers
from service.playground import CONTENT_SECURITY_POLICY, INDEX, read_assets
from service.server import Server


class PlaygroundRoute(PlainRoute):
    """The route of the page, which also answers while models are loaded.

    Args:
        server: whose page it is.
    """

    method: ClassVar[str] = "GET"

    def __init__(self, server: Server) -> None:
        super().__init__(server, "playground", ["/", f"{PLAYGROUND_PATH}{{file:path}}"])
        self._assets = read_assets(server.settings.root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with one of the files."""
        response: Response
        name = scope["path"].removeprefix(PLAYGROUND_PATH) if scope["path"] != "/" else INDEX
        asset = self._assets.get(name)
        if asset is None:
            response = problems.answer(scope, HTTPException(404))
        else:
            # asked for anew each time: after an update no old file is beside a new one
            headers = {
                "Cache-Control": "no-cache",
                "Content-Security-Policy": CONTENT_SECURITY_POLICY,
                "Cross-Origin-Opener-Policy": "same-origin",
                "ETag": asset.etag,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }
            known = Headers(scope).joined(b"if-none-match")
            if any(tag.strip().removeprefix("W/") in (asset.etag, "*") for tag in known.split(",")):
                response = Response(status_code=304, headers=headers)
            else:
                response = Response(asset.content, 200, headers, asset.media_type)
        await response(scope, receive, send)
