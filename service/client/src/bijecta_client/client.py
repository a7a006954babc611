"""The client, blocking and for asyncio: it carries out what a question asks of a connection."""

import math
import os
from time import monotonic, sleep
from typing import Any, Self, TypeVar

import anyio
import httpx

from bijecta_client.exchange import (
    Answer,
    Ask,
    Failed,
    Patience,
    Steps,
    Wait,
)
from bijecta_client.methods import AwaitableQuestions, BlockingQuestions
from bijecta_client.questions import Questions

T = TypeVar("T")

# A server that does not so much as take the call in this time may be another one the next time.
CONNECT_SECONDS = 5.0

KEY_VARIABLE = "BIJECTA_API_KEY"


class Client(BlockingQuestions):
    """Asks a server, and waits for its answers; may be shared by threads.

    Requests are sent again after 429, 503 and failures of the connection, when the server says or
    a while later, longer each time. Errors are `BijectaError`.

    Args:
        url: of the server.
        model: asked where a question names none, NAME or NAME@ALIAS; None for the server's
            default, or its only one.
        version: of that model; None for the one that the name means.
        timeout: seconds of a whole question, however often it is sent, which the server is told
            as well; None for no limit. An answer that has begun is given up at the first bytes
            after this time, or where none come for as long.
        retries: how often at most a request is sent again.
        wait: seconds for which a request is sent again, however often, to a server that is still
            loading its models.
        rows_per_request: questions of more rows are sent in parts.
        http: what sends the requests, with its own proxies, certificates and headers; it is left
            open. None for one of this client's own.
        key: an API key of the server; None for that of the variable `BIJECTA_API_KEY`, where there
            is one and `http` has no header `Authorization` of its own; empty for none.

    Raises:
        ValueError: the key is none.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        version: int | None = None,
        timeout: float | None = 60.0,
        retries: int = 4,
        wait: float = 60.0,
        rows_per_request: int = 16_384,
        http: httpx.Client | None = None,
        key: str | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = _headers(key, http)
        self._questions = Questions(
            model, version, timeout, Patience(retries, wait), rows_per_request
        )
        self._http = httpx.Client() if http is None else http
        self._owns_http = http is None

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finish(self, steps: Steps[T]) -> T:
        outcome: Answer | Failed | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(step, Wait):
                sleep(step.seconds)
                outcome = None
                continue
            ends = _end(step)
            try:
                with self._http.stream(**_arguments(self._url, self._headers, step)) as response:
                    parts = [_in_time(part, ends, response) for part in response.iter_bytes()]
                outcome = _answer(response, b"".join(parts))
            except (httpx.RequestError, httpx.InvalidURL) as error:
                outcome = _failed(error, f"{self._url}{step.path}")


class AsyncClient(AwaitableQuestions):
    """Asks a server without blocking: `Client`'s questions, each to be awaited.

    Args:
        url, model, version, timeout, retries, wait, rows_per_request, key: as `Client` has them.
        http: what sends the requests; it is left open. None for one of this client's own.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        version: int | None = None,
        timeout: float | None = 60.0,
        retries: int = 4,
        wait: float = 60.0,
        rows_per_request: int = 16_384,
        http: httpx.AsyncClient | None = None,
        key: str | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = _headers(key, http)
        self._questions = Questions(
            model, version, timeout, Patience(retries, wait), rows_per_request
        )
        self._http = httpx.AsyncClient() if http is None else http
        self._owns_http = http is None

    async def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _finish(self, steps: Steps[T]) -> T:
        outcome: Answer | Failed | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            if isinstance(step, Wait):
                await anyio.sleep(step.seconds)
                outcome = None
                continue
            ends = _end(step)
            try:
                async with self._http.stream(
                    **_arguments(self._url, self._headers, step)
                ) as response:
                    read = response.aiter_bytes()
                    parts = [_in_time(part, ends, response) async for part in read]
                outcome = _answer(response, b"".join(parts))
            except (httpx.RequestError, httpx.InvalidURL) as error:
                outcome = _failed(error, f"{self._url}{step.path}")


def _headers(key: str | None, http: httpx.Client | httpx.AsyncClient | None) -> dict[str, str]:
    """What shows who asks. httpx keeps this header, and no other, from other hosts.

    Raises:
        ValueError: the key is none.
    """
    if key is None and (http is None or "Authorization" not in http.headers):
        key = os.environ.get(KEY_VARIABLE)
    if not key:
        return {}
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("key: expected one word of printable ASCII, without a line's end")
    return {"Authorization": f"Bearer {key}"}


def _arguments(url: str, headers: dict[str, str], ask: Ask) -> dict[str, Any]:
    """What httpx is told of a request."""
    connect = CONNECT_SECONDS if ask.seconds is None else min(CONNECT_SECONDS, ask.seconds)
    return {
        "method": ask.method,
        "url": f"{url}{ask.path}",
        "content": ask.content,
        "headers": {**headers, **ask.headers},
        "timeout": httpx.Timeout(ask.seconds, connect=connect),
    }


def _end(ask: Ask) -> float:
    """When a request that is sent now is given up."""
    return math.inf if ask.seconds is None else monotonic() + ask.seconds


def _in_time(part: bytes, ends: float, response: httpx.Response) -> bytes:
    """A part of an answer; httpx itself bounds the time of each part alone."""
    if monotonic() > ends:
        raise httpx.ReadTimeout("the answer came too slowly", request=response.request)
    return part


def _answer(response: httpx.Response, content: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, content)


def _failed(error: httpx.RequestError | httpx.InvalidURL, url: str) -> Failed:
    """What has become of a request that was not answered."""
    passing = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)
    return Failed(
        f"{url}: {type(error).__name__}: {error}",
        may_pass=isinstance(error, passing),
        too_slow=isinstance(error, httpx.TimeoutException),
    )
