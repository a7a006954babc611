"""Pages for a browser: `/` tries models, `/docs` shows what can be asked; and their files."""

import re
from typing import ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http import problems
from service.http.asgi_route import PlainRoute
from service.http.request_body import Headers
from service.playground import DOCS, INDEX, PLAYGROUND, Page, read_assets
from service.server import Server

# of a member of `Accept-Encoding`: it is refused
NO_WEIGHT = re.compile(r";\s*q=0(\.0*)?\s*$")


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
            takes_gzip = _takes_gzip(Headers(scope).joined(b"accept-encoding"))
            # another one for other bytes, compressed ones too (RFC 9110, 8.8.3)
            etag = f'"{asset.sha256[:32]}{"-gzip" * takes_gzip}"'
            # asked for anew each time: after an update no old file is beside a new one
            headers = {
                "Cache-Control": "no-cache",
                "Content-Security-Policy": page.security_policy,
                "Cross-Origin-Opener-Policy": "same-origin",
                "ETag": etag,
                "Referrer-Policy": "no-referrer",
                "Vary": "Accept-Encoding",
                "X-Content-Type-Options": "nosniff",
            }
            known = Headers(scope).joined(b"if-none-match")
            if any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(",")):
                response = Response(status_code=304, headers=headers)
            elif takes_gzip:
                headers["Content-Encoding"] = "gzip"
                response = Response(asset.compressed, 200, headers, asset.media_type)
            else:
                response = Response(asset.content, 200, headers, asset.media_type)
        await response(scope, receive, send)


def _takes_gzip(accepted: str) -> bool:
    """Whether a list of encodings has gzip (RFC 9110, 12.5.3)."""
    members = [member.strip() for member in accepted.lower().split(",")]
    taken = {member.partition(";")[0].strip(): not NO_WEIGHT.search(member) for member in members}
    return taken.get("gzip", taken.get("*", False))


def page_routes(server: Server) -> list[PageRoute]:
    """The routes of the pages that a server shows."""
    pages = [PLAYGROUND, DOCS] if server.settings.playground else [DOCS]
    return [PageRoute(server, page) for page in pages]
