"""Requests are turned away unread while more come than the event loop can answer, and no longer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from service.http.connections import ConnectionLimits
from service.http.connections.admission import Admission
from service.http.connections.limits import (
    MAX_BEGUN_AT_ONCE,
    REVIEW_SECONDS,
    STRAIN_SECONDS,
    TURN_SECONDS,
)
from service.http.origins import Origins
from service.settings import Settings
from tests.helpers.http import metric_of
from tests.helpers.running import NAME, run, running
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.wire import LIMITS, Party, statuses

MANY = 3 * MAX_BEGUN_AT_ONCE
POST = b"POST /log_prob HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab"


class Loop:
    """An event loop of which each turn finds some requests, and takes some time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.admission = Admission(lambda: self.now)

    async def turn(self, requests: int, seconds: float) -> int:
        """Find requests; returns how many are turned away."""
        begun = 0
        for _ in range(requests):
            if self.admission.is_full:
                self.admission.refused()
            else:
                self.admission.begun()
                begun += 1
        await asyncio.sleep(0)
        for _ in range(begun):
            self.admission.started()
        self.now += seconds
        return requests - begun

    async def strain(self) -> None:
        """Find more than can be answered, until some are turned away."""
        for _ in range(20):
            away = await self.turn(MANY, TURN_SECONDS)
        assert away
        for _ in range(20):
            assert await self.turn(MANY, 0.01)


def test_nothing_is_turned_away_below_what_can_be_answered() -> None:
    async def work() -> None:
        loop = Loop()
        for _ in range(200):
            assert await loop.turn(MAX_BEGUN_AT_ONCE - 1, 0.01) == 0

    run(work)


def test_bursts_of_any_size_are_answered_where_the_loop_catches_up() -> None:
    async def work() -> None:
        loop = Loop()
        for _ in range(100):
            assert await loop.turn(100 * MANY, 2.0) == 0
            assert await loop.turn(0, 0.05) == 0

    run(work)


def test_callers_who_wait_for_their_answers_are_answered_where_turns_are_short() -> None:
    async def work() -> None:
        loop = Loop()
        for _ in range(100):
            assert await loop.turn(10 * MANY, 0.9 * TURN_SECONDS) == 0

    run(work)


def test_where_it_does_not_as_many_as_can_be_begun_at_once_are() -> None:
    async def work() -> None:
        loop = Loop()
        away = [await loop.turn(MANY, TURN_SECONDS) for _ in range(20)]
        first = away.index(MANY - MAX_BEGUN_AT_ONCE)
        assert STRAIN_SECONDS <= TURN_SECONDS * first <= STRAIN_SECONDS + 3 * TURN_SECONDS
        assert set(away[:first]) == {0}
        assert set(away[first:]) == {MANY - MAX_BEGUN_AT_ONCE}

    run(work)


@pytest.mark.parametrize("requests", [0, 1, MAX_BEGUN_AT_ONCE, MAX_BEGUN_AT_ONCE - 1])
def test_it_ends_with_the_overload(requests: int) -> None:
    async def work() -> None:
        loop = Loop()
        await loop.strain()
        ended = loop.now
        while loop.now < ended + 2 * REVIEW_SECONDS + 0.1:
            assert await loop.turn(requests, 0.01) == 0
            await loop.turn(0, 0.0)
        assert await loop.turn(MANY, 0.01) == 0

    run(work)


def test_a_share_of_a_hundredth_does_not_prolong_it() -> None:
    async def work() -> None:
        loop = Loop()
        await loop.strain()
        for _ in range(300):  # one in 200
            for _ in range(3):
                await loop.turn(MAX_BEGUN_AT_ONCE - 1, 0.003)
            last = await loop.turn(MAX_BEGUN_AT_ONCE + 1, 0.003)
        assert last == 0

    run(work)


async def overloaded(party: Party) -> None:
    """Make connections believe that more comes than they can answer."""
    admission = party.registry.admission
    admission._is_refusing, admission._waiting = True, MAX_BEGUN_AT_ONCE
    admission._looked_at = admission._reviewed_at = party.seconds


def test_what_is_turned_away_has_an_answer_and_its_connection_goes_on(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, NAME)

    async def work() -> None:
        async with running(tmp_path) as served:
            party = Party(app=served.app)
            telemetry = served.server.telemetry
            party.registry.on_overload = telemetry.turned_away
            caller = party.caller()
            await overloaded(party)
            for path, given in ((b"/log_prob", b""), (b"/v2/models/tiny/infer", b"night-7")):
                asked = POST.replace(b"/log_prob", path)
                if given:
                    asked = asked.replace(b"Host", b"X-Request-Id: night-7\r\nHost")
                await caller.says(asked, at_once=7)
                head, _, body = (await caller.hears()).partition(b"\r\n\r\n")
                assert statuses(head) == [429]
                said: dict[str, Any] = json.loads(body)
                heads = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])
                assert int(heads[b"content-length"]) == len(body)
                assert heads[b"retry-after"] == b"1"
                assert heads[b"x-request-id"].decode() == said["request_id"]
                assert not given or said["request_id"] == "night-7"
                assert "error" in said if b"v2" in path else said["detail"]
                assert said["status"] == 429
                assert b"connection" not in heads
            party.registry.admission._is_refusing = False
            await caller.says(POST)
            assert statuses(await caller.hears()) == [400]
            text = served.server.metrics.exposition().decode()
        assert metric_of(text, "bijecta_rejections_total", reason="overloaded") == 2

    run(work)


def test_a_page_that_may_ask_reads_that_it_is_turned_away_or_too_slow() -> None:
    settings = Settings(store=Path("nowhere"), allowed_origins="https://app.example")

    async def work() -> None:
        party = Party()
        party.registry.refusal_headers = Origins(settings).refusal_headers
        await overloaded(party)
        for origin in (b"https://app.example", b"https://evil.example"):
            asked = POST.replace(b"Host", b"Origin: " + origin + b"\r\nHost")
            readable = b"\r\naccess-control-allow-origin: " + origin + b"\r\n"
            caller, slow = party.caller(), party.caller()
            await caller.says(asked)
            answers = [await caller.hears()]
            party.registry.admission._is_refusing = False
            await slow.says(asked[:-1])
            await party.wait(LIMITS.idle_seconds + 1)
            answers.append(await slow.hears())
            await overloaded(party)
            assert [statuses(answer) for answer in answers] == [[429], [408]]
            for answer in answers:
                assert (readable in answer) == (b"app" in origin)

    run(work)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        POST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        POST.replace(b"Host", b"Connection: close\r\nHost"),
        b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000,
    ],
)
def test_what_an_operator_needs_and_what_cannot_be_passed_over_is_begun(
    request_bytes: bytes,
) -> None:
    async def work() -> None:
        party = Party(limits=ConnectionLimits())
        caller = party.caller()
        await overloaded(party)
        await caller.says(request_bytes)
        assert statuses(await caller.hears()) == [200]

    run(work)


def test_requests_sent_at_once_are_each_answered_once() -> None:
    async def work() -> None:
        party = Party()
        caller = party.caller()
        await overloaded(party)
        await caller.says(3 * POST)
        assert statuses(await caller.hears()) == [429] * 3
        party.registry.admission._is_refusing = False
        await caller.says(2 * POST)
        assert statuses(await caller.hears()) == [200] * 2

    run(work)
