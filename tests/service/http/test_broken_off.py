"""Answers that fail after their head: the connection is broken, counted and said without ado."""

import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from service.errors import DeadlineError
from service.http import streaming
from service.log import BrokenOffError, Log
from tests.helpers.asgi import call, running_app
from tests.helpers.http import NPY, metric_of

QUESTION, JSON_QUESTION = "/sample?n=50000", "/interpolate"
ENDS = b'{"start": [0.1, 0.2], "end": [0.3, 0.4], "steps": 40000}'
FAILURES: dict[str, tuple[Exception, str]] = {
    "deadline": (DeadlineError("the deadline passed before there was an answer"), "deadline"),
    "mistake": (RuntimeError("a mistake"), "internal"),
}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a server's log would hold."""
    stream, logger = io.StringIO(), logging.getLogger("service")
    handler = Log(60, stream)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


async def no_message() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("path", [QUESTION, JSON_QUESTION])
def test_an_answer_that_fails_in_its_middle_is_counted_and_said_once(
    moons_store: Path,
    log: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    failure: str,
) -> None:
    error, reason = FAILURES[failure]
    pieces = streaming.made_pieces if path == JSON_QUESTION else streaming.sampled_pieces

    async def failing(*arguments: Any) -> Any:
        async for piece in pieces(*arguments):
            yield piece
            raise error

    monkeypatch.setattr(f"service.http.routes.flow.{pieces.__name__}", failing)

    async def work() -> str:
        async with running_app(moons_store) as (app, server):
            for _ in range(5):
                messages = iter([{"type": "http.request", "body": ENDS * (path == JSON_QUESTION)}])

                async def receive(messages: Any = messages) -> Any:
                    return next(messages, None) or await no_message()

                headers = {"accept": NPY} if path == QUESTION else {}
                with pytest.raises(BrokenOffError):
                    await call(app, path, receive, headers)
            assert server.metrics.in_flight == 0
            return server.metrics.exposition().decode()

    metrics = asyncio.run(work())
    endpoint = path.strip("/").partition("?")[0]
    counted = metric_of(metrics, "bijecta_request_failures_total", endpoint=endpoint, reason=reason)
    assert counted == 5
    assert log.getvalue().count("broken off") == 1
    assert log.getvalue().count("Traceback") == (failure == "mistake")


def test_a_mistake_in_a_route_is_answered_with_what_the_log_says_once(
    moons_store: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: Any) -> None:
        raise RuntimeError("a mistake\nof two lines")

    monkeypatch.setattr("service.http.routes.flow.choose_codec", mistaken)
    body = b'{"x": [[0.5, 0.5]]}'

    async def work() -> list[str]:
        async with running_app(moons_store) as (app, _):
            answers = []
            for _ in range(3):
                messages = iter([{"type": "http.request", "body": body}])

                async def receive(messages: Any = messages) -> Any:
                    return next(messages, None) or await no_message()

                answers.append(await call(app, "/log_prob", receive))
            assert {answer.status for answer in answers} == {500}
            return [answer.body.decode() for answer in answers]

    bodies = asyncio.run(work())
    (instance,) = {body.partition("urn:uuid:")[2][:36] for body in bodies}
    text = log.getvalue()
    assert text.count("Traceback") == 1
    assert instance in text
    assert "a mistake" in text
    assert "\nof two lines" not in text
