"""`POST /mcp`: calls of tools by language models."""

from importlib.metadata import version

from starlette.responses import Response
from starlette.types import Receive, Scope

from service.http.asgi_route import AsgiRoute
from service.http.disconnect import unless_departed
from service.http.request_body import Headers, body_of
from service.inflight import MemoryShare
from service.server import Server


class McpRoute(AsgiRoute):
    """The route of the Model Context Protocol.

    Args:
        server: whose limits hold.
    """

    def __init__(self, server: Server) -> None:
        from service.mcp import ToolServer  # of an extra, which takes 0.7 s to import

        super().__init__(server, "mcp", ["/mcp"])
        self.tools = ToolServer(version("bijecta"))

    async def answer(self, scope: Scope, receive: Receive, share: MemoryShare) -> Response:
        """What the protocol's own library answers."""
        body = await body_of(receive, Headers(scope), self.server, share, self.tools.max_body_bytes)
        return await unless_departed(receive, self.tools.answer(scope, body))
