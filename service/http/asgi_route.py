"""Routes in plain ASGI: what FastAPI does around a handler takes longer than a small flow."""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import MalformedBodyError
from service.http import problems as failures
from service.http.request_body import Headers
from service.server import Server

T = TypeVar("T")

# A thread is worth its while above so many bytes.
LARGE = 2**18


class Endpoint(ABC):
    """An ASGI application that answers one kind of request.

    Args:
        server: whose models are asked.
    """

    def __init__(self, server: Server) -> None:
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever comes of it."""
        try:
            self.server.check_started()
            response = await self.answer(scope, receive)
        except Exception as error:
            metrics = self.server.metrics
            response = failures.answer(metrics, scope["method"], scope["path"], error)
        if self.server.draining:
            response.headers["Connection"] = "close"  # the next request should go elsewhere
        await response(scope, receive, send)

    @abstractmethod
    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """The answer to a request.

        Raises:
            ServiceError: there is none.
        """


def deadline(headers: Headers) -> float:
    """When an answer is of no more use, on `time.monotonic`'s clock.

    Raises:
        MalformedBodyError: `X-Request-Timeout` is not a number of seconds.
    """
    given = headers[b"x-request-timeout"]
    if not given:
        return math.inf
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise MalformedBodyError(f"X-Request-Timeout: expected seconds, got {given!r:.40}")
    return time.monotonic() + seconds


async def off_loop(size: int, work: Callable[[], T]) -> T:
    """Do work on many bytes in a thread, so that other requests do not wait for it."""
    return await asyncio.to_thread(work) if size > LARGE else work()
