"""A server of tools by the SDK of the Model Context Protocol, inside the HTTP application.

Each call of a tool becomes a request to the application around it: the same checks of who may ask,
the same limits, the same errors. No session is kept, and no answer is streamed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import orjson
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from service.errors import ServiceError, TooLargeError
from service.mcp.tools import ToolRequest, described_tools, request_of

# Of the answer to a call: more is not read by a language model.
MAX_ANSWER_BYTES = 2**21

INSTRUCTIONS = (
    "Normalizing flows and detectors of anomalies. Ask `models` first: it names the models, and "
    "the columns or the shape of a row. Values that are refused are named by row and column."
)

# What is of the call and not of the request that it becomes.
OF_THE_CALL = (b"accept", b"content-", b"mcp-", b"origin", b"transfer-encoding")


class ToolServer:
    """Answers calls of tools.

    Args:
        version: of the service.
    """

    max_body_bytes = 2**22
    """Of a call."""

    def __init__(self, version: str) -> None:
        self.app: ASGIApp | None = None
        """The whole application, which is made after this."""
        server: Server[Any] = Server(
            "bijecta",
            version=version,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )
        self._sessions = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=self.max_body_bytes
        )
        self._endpoint = StreamableHTTPASGIApp(self._sessions)
        reads = ToolAnnotations(read_only_hint=True)
        self._tools = [
            Tool(
                name=each["name"],
                description=each["description"],
                input_schema=each["schema"],
                annotations=reads,
            )
            for each in described_tools()
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer calls meanwhile."""
        async with self._sessions.run():
            yield

    async def answer(self, scope: Scope, body: bytes) -> Response:
        """The answer to a request at /mcp."""
        return await _asked(self._endpoint, scope, body)

    async def _list(self, _: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=self._tools)

    async def _call(self, context: Any, call: CallToolRequestParams) -> CallToolResult:
        try:
            asked = request_of(call.name, call.arguments or {})
            answer = await _asked(self.app, _scope(context.request.scope, asked), asked.body)
            if len(answer.body) > MAX_ANSWER_BYTES:
                raise TooLargeError(
                    f"the answer has {len(answer.body)} bytes, more than the {MAX_ANSWER_BYTES} of "
                    "a call: ask for fewer rows"
                )
            content, is_error = orjson.loads(answer.body), answer.status_code >= 400
        except ServiceError as error:
            content, is_error = error.problem(), True
        text = content["detail"] if is_error else orjson.dumps(content).decode()
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            structured_content=content,
            is_error=is_error,
        )


def _scope(outer: Scope, asked: ToolRequest) -> Scope:
    """The scope of a request that stands for a call: from the same caller, with the same key."""
    headers = [(k, v) for k, v in outer["headers"] if not k.startswith(OF_THE_CALL)]
    if asked.body:
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", b"%d" % len(asked.body)))
    return {
        **outer,
        "method": asked.method,
        "path": asked.path,
        "raw_path": quote(asked.path).encode(),
        "query_string": b"",
        "headers": headers,
    }


async def _asked(app: ASGIApp | None, scope: Scope, body: bytes) -> Response:
    """What an application answers to one request, whole."""
    assert app is not None
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()  # the caller's departure cancels this
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *pieces = sent
    response = Response(b"".join([piece.get("body", b"") for piece in pieces]), start["status"])
    lengthless = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
    response.raw_headers = [*lengthless, (b"content-length", b"%d" % len(response.body))]
    return response
