"""Pages for a browser: `/` tries models, `/docs` shows what can be asked; and their files."""

from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http import problems
from service.http.asgi_route import PlainRoute
from service.http.request_body import Headers
from service.playground import DOCS, INDEX, PLAYGROUND, Page, read_assets
from service.server import Server


class PageRoute(PlainRoute):
    """The route of a page, which also answers while models are loaded.

    Args:
        server: whose page it is.
        page: the page.
    """

    method: ClassVar[str] = "GET"

    def __init__(self, server: Server, page: Page) -> None:
        super().__init__(server, page.name, [page.path, f"{page.files_path}{{file:path}}"])
        self._page = page
        self._assets = read_assets(page, server.settings.root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with one of the files."""
        response: Response
        page, path = self._page, scope["path"]
        asset = self._assets.get(INDEX if path == page.path else path.removeprefix(page.files_path))
        if asset is None:
            response = problems.answer(scope, HTTPException(404))
        else:
            # asked for anew each time: after an update no old file is beside a new one
            headers = {
                "Cache-Control": "no-cache",
                "Content-Security-Policy": page.security_policy,
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


def page_routes(server: Server) -> list[PageRoute]:
    """The routes of the pages that a server shows."""
    pages = [PLAYGROUND, DOCS] if server.settings.playground else [DOCS]
    return [PageRoute(server, page) for page in pages]
