"""One request of a client and what may come of it, free of I/O: when it is sent again, when not.

A generator yields what is to be done, `Ask` or `Wait`, and is sent what came of it; whoever drives
it has the connection and the clock's patience, blocking or not.
"""

import json
import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from time import monotonic, time
from typing import Any, TypeVar

from bijecta_client.errors import (
    BijectaError,
    NotPermittedError,
    RateLimitedError,
    RefusedError,
    TimedOutError,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
    UnreadableError,
)

T = TypeVar("T")

# The longest first wait without the server's word, doubled each time, up to the longest of all.
FIRST_WAIT = 0.1
LONGEST_WAIT = 10.0

BUSY = (429, 503)


# What reading such an answer raises: JSON of another form, numbers that no float holds.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Ask:
    """A request.

    Args:
        method, path: of HTTP; the path may hold a query.
        content: its body.
        headers: beside those of HTTP itself.
        seconds: when to give up; None for never.
    """

    method: str
    path: str
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Wait:
    """A pause in seconds."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """What a server answered; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Failed:
    """What came instead of an answer.

    Args:
        why: for people.
        may_pass: whether another try could do better.
        too_slow: whether it was given up for want of time.
    """

    why: str
    may_pass: bool
    too_slow: bool


Steps = Generator[Ask | Wait, Answer | Failed | None, T]
"""What is to be done for a result of type T."""


@dataclass(frozen=True)
class Patience:
    """When a request is given up.

    Args:
        retries: how often at most it is sent again.
        wait: seconds for which it is sent again however often, to a server that is still loading.
    """

    retries: int
    wait: float


def exchange(ask: Ask, patience: Patience, due: float) -> Steps[Answer]:
    """Send a request, again where that may help, until there is an answer.

    Every question is a function of its body alone, so that none does harm when it is repeated.

    Args:
        ask: the request, of which the headers and seconds are completed here.
        patience: how often at most it is sent again, or for how long.
        due: when an answer is of no more use, on `monotonic`'s clock.

    Raises:
        BijectaError: there is none; which kind says why.
    """
    began, was_loading = monotonic(), 0
    for attempt in count():
        left = due - monotonic()
        if left <= 0:
            raise TimedOutError("the time of the call was over before it was asked")
        outcome = yield _within(ask, left)
        if isinstance(outcome, Answer) and outcome.status == HTTPStatus.OK:
            return outcome
        assert isinstance(outcome, Answer | Failed)
        error = _error(outcome)
        is_loading = _is_loading(outcome)
        # one that is loading may be ready at any moment: the pauses do not grow beyond a second
        wait = _wait(outcome, min(attempt, 3) if is_loading else attempt - was_loading)
        if wait is None or monotonic() + wait >= due:
            raise error
        # who is loading is asked as often as others at least, and then until the wait is over
        if is_loading and monotonic() + wait - began <= patience.wait:
            was_loading += 1
        elif attempt - was_loading >= patience.retries:
            raise error
        yield Wait(wait)
    raise AssertionError("count() has no end")


def json_of(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        UnreadableError: it is none.
    """
    try:
        content = json.loads(answer.content)
    except MALFORMED:
        content = None
    if not isinstance(content, dict):
        began = answer.content[:80].decode("latin-1")
        raise UnreadableError(f"expected a JSON object, got {began!r}", answer.status)
    return content


def _within(ask: Ask, left: float) -> Ask:
    """A request that tells the server too when to give up."""
    if left == float("inf"):
        return ask
    # to the millisecond, and not to zero, which would be no time at all
    headers = {**ask.headers, "X-Request-Timeout": f"{max(left, 0.001):.3f}"}
    return Ask(ask.method, ask.path, ask.content, headers, left)


def _wait(outcome: Answer | Failed, attempt: int) -> float | None:
    """Seconds until a request is sent again; None where that would be of no use."""
    if isinstance(outcome, Failed):
        asked_for = 0.0 if outcome.may_pass else None
    else:
        asked_for = _retry_after(outcome) if outcome.status in BUSY else None
    if asked_for is None:
        return None
    # beside what the server asks for, or all that it turned away would be back at once
    longest = min(FIRST_WAIT * 2.0 ** min(attempt, 30), LONGEST_WAIT)
    return asked_for + random.uniform(0.5, 1) * longest


def _is_loading(outcome: Answer | Failed) -> bool:
    """Whether a server says that it is not ready yet, and when to come again."""
    if isinstance(outcome, Failed) or outcome.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return False
    return "retry-after" in outcome.headers


def _retry_after(answer: Answer) -> float:
    """Seconds of `Retry-After`, which may be a number or a date; 0 where it says nothing."""
    header = answer.headers.get("retry-after", "").strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except MALFORMED:
        return 0.0


def _error(outcome: Answer | Failed) -> BijectaError:
    """What an answer that is none means, by its problem document or that of /v2."""
    if isinstance(outcome, Failed):
        if outcome.too_slow:
            return TimedOutError(outcome.why)
        unreachable = UnreachableError(outcome.why)
        unreachable.may_pass = outcome.may_pass
        return unreachable
    try:
        document = dict(json_of(outcome))
    except UnreadableError:
        document = {}
    status, phrase = outcome.status, _phrase(outcome.status)
    said = outcome.content[:200].decode("utf-8", "replace")
    detail = document.pop("detail", None) or document.pop("error", None) or said or phrase
    reason = str(document.pop("type", "")).removeprefix("urn:bijecta:")
    extra = {k: v for k, v in document.items() if k not in ("title", "status", "error")}
    kind = _kind(status, reason)
    error = kind(str(detail), status, reason or phrase.lower().replace(" ", "-"), extra)
    if isinstance(error, UnavailableError) and "retry-after" in outcome.headers:
        error.retry_after = _retry_after(outcome)
    return error


def _kind(status: int, reason: str) -> type[BijectaError]:
    if status in BUSY:
        return RateLimitedError if reason == "rate-limited" else UnavailableError
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return TimedOutError
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return UnauthorizedError if status == HTTPStatus.UNAUTHORIZED else NotPermittedError
    return RefusedError if 400 <= status < 500 else BijectaError


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"status {status}"
