"""When a request is sent again, and when a call ends."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import numpy as np
import pytest

from bijecta_client import (
    BijectaError,
    RefusedError,
    TimedOutError,
    UnavailableError,
    UnreachableError,
    exchange,
)
from tests.helpers.askers import Clock, Make, Server, X, refused, scripted


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_busy_is_asked_again_when_it_says(make: Make, clock: Clock, status: int) -> None:
    busy = [refused(status, **{"Retry-After": "2"}), refused(status, **{"Retry-After": "3"})]
    asker, server = scripted(make, *busy)
    assert asker("log_prob", X).tolist() == [1.0, 0.5]
    assert len(server.asked) == 3
    assert len({request.content for request in server.asked}) == 1
    first, second = clock.sleeps
    assert 2 < first < 2.2
    assert 3 < second < 3.4


def test_a_server_that_is_loading_is_waited_for(make: Make, clock: Clock) -> None:
    loading = [refused(503, **{"Retry-After": "1"}) for _ in range(30)]
    asker, server = scripted(make, *loading)
    assert asker("log_prob", X).tolist() == [1.0, 0.5]
    assert len(server.asked) == 31
    assert all(1 < seconds < 2 for seconds in clock.sleeps)


def test_a_server_that_is_loading_is_waited_for_so_long(make: Make, clock: Clock) -> None:
    loading = [refused(503, **{"Retry-After": "1"}) for _ in range(200)]
    asker, server = scripted(make, *loading, wait=30, retries=2, timeout=None)
    began = clock.now
    with pytest.raises(UnavailableError):
        asker("log_prob", X)
    assert 28 < clock.now - began < 35  # two more tries, as of every server that is busy
    # the time of the call comes first, and who is to wait for nothing does not
    asker, server = scripted(make, *loading, timeout=10)
    began = clock.now
    with pytest.raises((UnavailableError, TimedOutError)):
        asker("log_prob", X)
    assert clock.now - began < 10
    asker, server = scripted(make, *loading, wait=0)
    with pytest.raises(UnavailableError):
        asker("log_prob", X)
    assert len(server.asked) == 5


def test_who_is_busy_or_says_no_time_is_not_loading(make: Make, clock: Clock) -> None:
    for busy in (refused(429, **{"Retry-After": "1"}), refused(503)):
        asker, server = scripted(make, *[busy] * 30)
        with pytest.raises(UnavailableError):
            asker("log_prob", X)
        assert len(server.asked) == 5


def test_retry_after_may_be_a_date_or_nonsense(make: Make, clock: Clock) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(seconds=20), usegmt=True)
    texts = (date, past, "soon", "-1", "", f"1 Jan {10**30} 00:00:00")
    asker, _ = scripted(make, *(refused(503, **{"Retry-After": text}) for text in texts), retries=6)
    asker("log_prob", X)
    assert 17 < clock.sleeps[0] < 20.2
    assert all(0 < seconds < 2 for seconds in clock.sleeps[1:])


def test_waits_grow_and_differ_and_have_an_end(make: Make, clock: Clock) -> None:
    asker, server = scripted(make, *(refused(503) for _ in range(40)), retries=9, timeout=1000)
    with pytest.raises(UnavailableError, match="not now") as found:
        asker("log_prob", X)
    assert found.value.status == 503
    assert len(server.asked) == 10
    longest = [min(0.1 * 2**i, 10) for i in range(9)]
    assert all(most / 2 <= s <= most for s, most in zip(clock.sleeps, longest, strict=True))
    before = clock.sleeps[:]
    with pytest.raises(UnavailableError):
        asker("log_prob", X)
    assert clock.sleeps[9] != before[0]  # not all callers at once


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("no answer"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("hung up"),
    ],
)
def test_failures_of_the_connection_may_pass(make: Make, clock: Clock, failure: Exception) -> None:
    asker, server = scripted(make, failure, failure)
    assert asker("sample", 3).seed == 3
    assert len(server.asked) == 3
    asker, server = scripted(make, *[failure] * 9, retries=2)
    expected = TimedOutError if isinstance(failure, httpx.TimeoutException) else UnreachableError
    with pytest.raises(expected, match=str(failure)) as found:
        asker("sample", 3)
    assert found.value.status is None
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("step", "error", "status"),
    [
        (refused(400), RefusedError, 400),
        (refused(404), RefusedError, 404),
        (refused(413), RefusedError, 413),
        (refused(500), BijectaError, 500),
        (refused(504), TimedOutError, 504),
        (httpx.Response(302, headers={"Location": "/"}), BijectaError, 302),
        (httpx.UnsupportedProtocol("ftp"), UnreachableError, None),
    ],
)
def test_what_would_not_pass_is_asked_once(
    make: Make, clock: Clock, step: Any, error: type[BijectaError], status: int | None
) -> None:
    asker, server = scripted(make, step)
    with pytest.raises(error) as found:
        asker("log_prob", X)
    assert type(found.value) is error
    assert found.value.status == status
    assert len(server.asked) == 1
    assert clock.sleeps == []


def test_nobody_waits_beyond_the_time_of_the_call(make: Make, clock: Clock) -> None:
    late = refused(503, **{"Retry-After": "30"})
    asker, server = scripted(make, late, timeout=20)
    with pytest.raises(UnavailableError):
        asker("log_prob", X)
    assert (len(server.asked), clock.sleeps) == (1, [])
    # without a limit, it waits
    asker, server = scripted(make, refused(503, **{"Retry-After": "3000"}), timeout=None)
    asker("log_prob", X)
    assert clock.sleeps[0] > 3000
    assert "X-Request-Timeout" not in server.asked[0].headers
    assert server.asked[0].extensions["timeout"]["read"] is None


def test_the_server_is_told_what_time_is_left(make: Make, clock: Clock) -> None:
    asker, server = scripted(make, refused(503, **{"Retry-After": "12"}), timeout=20)
    asker("log_prob", X)
    for request, left in zip(server.asked, (20, 20 - clock.sleeps[0]), strict=True):
        assert float(request.headers["X-Request-Timeout"]) == pytest.approx(left, abs=1e-3)
        assert request.extensions["timeout"]["read"] == pytest.approx(left)
        assert request.extensions["timeout"]["connect"] == pytest.approx(min(left, 5))


def test_all_parts_share_the_time_of_the_call(make: Make, clock: Clock) -> None:
    server = Server()

    def slow(request: httpx.Request) -> httpx.Response:
        clock.now += 4
        return server(request)

    asker = make("http://flows", script=slow, model="moons", timeout=10, rows_per_request=1)
    with pytest.raises(TimedOutError, match=r"time of the call was over.*begins at row 3"):
        asker("log_prob", np.zeros((5, 2)))
    assert [float(r.headers["X-Request-Timeout"]) for r in server.asked] == [10, 6, 2]


def test_waits_are_within_their_bounds() -> None:
    asked_for = exchange.Answer(429, {"retry-after": "7"}, b"")
    waits = [exchange._wait(asked_for, attempt) for attempt in (0, 5, 10**6)]
    assert all(wait is not None and 7 < wait <= 17 for wait in waits)


@pytest.mark.parametrize(
    "step",
    [
        refused(503),
        refused(503, **{"Retry-After": "0"}),
        httpx.ConnectError(""),
        httpx.ReadTimeout(""),
    ],
)
def test_who_does_not_answer_is_not_ready(make: Make, clock: Clock, step: Any) -> None:
    asker, server = scripted(make, step)
    assert asker("ready") is False
    assert len(server.asked) == 1
    assert (server.asked[0].method, server.asked[0].url.path) == ("GET", "/health/ready")
    server.script = [refused(404)]  # something else answers there
    with pytest.raises(RefusedError):
        asker("ready")
