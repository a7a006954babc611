"""What an exchange needs of the connection on which it came."""

import asyncio
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

from service.http.connections.unsent import UnsentAnswers


class HasExchange(Protocol):
    """A connection, as far as its exchange needs it."""

    transport: asyncio.Transport
    flow: FlowControl
    unsent: UnsentAnswers

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        ...

    def closes_after(self, status: int) -> bool:
        """Whether an answer of this status that begins now is the last one."""
        ...

    def started(self) -> None:
        """The exchange has begun to answer."""
        ...

    def read_body(self) -> None:
        """Read on: the application waits for the body."""
        ...

    def answered(self, *, whole: bool) -> None:
        """The answer has been handed over, or has been given up."""
        ...
