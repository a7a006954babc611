"""Requests to the application in this process, without a socket, one message at a time."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass
class Exchange:
    """One request and what the application sends.

    Args:
        method, target, body, headers: of the request.
        taken: set while the caller takes what is sent; the application waits otherwise, but for
            the head and the first piece.
    """

    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.taken.set()
        self._left = asyncio.Event()
        self._has_sent_body = False

    @property
    def status(self) -> int:
        """Of the answer."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def content(self) -> bytes:
        """All that has been sent."""
        return b"".join(message.get("body", b"") for message in self.sent)

    def leave(self) -> None:
        """The caller closes the connection."""
        self._left.set()

    async def run(self, app: ASGIApp) -> "Exchange":
        """Have the application answer."""
        path, _, query = self.target.partition("?")
        given = {"host": "127.0.0.1", **self.headers}
        headers = [(k.lower().encode(), v.encode()) for k, v in given.items()]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [*headers, (b"content-length", str(len(self.body)).encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await app(scope, self._receive, self._send)
        return self

    async def _receive(self) -> Message:
        if not self._has_sent_body:
            self._has_sent_body = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if len(self.sent) > 1:
            await self.taken.wait()
