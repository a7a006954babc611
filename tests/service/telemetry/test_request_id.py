"""Every answer has an id: the caller's where it is well formed, else one that is made."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry import request_id
from tests.helpers.exchange import Exchange
from tests.helpers.http import metric_of
from tests.helpers.running import run, running
from tests.helpers.wire import Party, statuses

MADE = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")

# method, target, body, and the status of the answer
REQUESTS = [
    ("POST", "/log_prob", b'{"x": [[1, 2]]}', 200),
    ("POST", "/sample?n=60000", b"", 200),
    ("POST", "/log_prob", b'{"x": [[1]]}', 422),
    ("POST", "/log_prob", b"{", 400),
    ("POST", "/log_prob", b" " * (2 * 2**20), 413),
    ("POST", "/log_prob", b'{"model": "none", "x": []}', 404),
    ("GET", "/log_prob", b"", 405),
    ("GET", "/nowhere", b"", 404),
    ("HEAD", "/models", b"", 200),
    ("GET", "/models", b"", 200),
    ("POST", "/v2/models/tiny/infer", b"{", 400),
    ("POST", "/v2/repository/models/none/load", b"", 404),
]


@given(st.binary(max_size=200))
def test_an_id_is_taken_or_made_whatever_comes(sent: bytes) -> None:
    found = request_id([(b"host", b"a"), (b"x-request-id", sent), (b"x-request-id", b"second")])
    assert re.fullmatch(r"[A-Za-z0-9_.:@+=/-]{1,128}", found)
    assert (found.encode() == sent) == bool(re.fullmatch(rb"[A-Za-z0-9_.:@+=/-]{1,128}", sent))


@pytest.mark.parametrize("sent", [b"a" * 128, b"Root=1-67891233-abcdef012345678912345678"])
def test_ids_of_proxies_are_taken(sent: bytes) -> None:
    assert request_id([(b"x-request-id", sent)]) == sent.decode()


@pytest.mark.parametrize("sent", [None, b"", b"a" * 129, b"a b", b'"', b"a\n", "ä".encode()])
def test_other_ids_are_made_anew(sent: bytes | None) -> None:
    headers = [] if sent is None else [(b"x-request-id", sent)]
    assert MADE.fullmatch(request_id(headers))
    assert request_id(headers) != request_id(headers)


def test_every_answer_says_its_id_and_so_does_every_problem(tiny_store: Path) -> None:
    async def work() -> None:
        async with running(tiny_store, max_body_mib=1) as served:
            for method, target, body, status in REQUESTS:
                for sent in ("night-7", "no id"):
                    exchange = Exchange(method, target, body, {"X-Request-Id": sent})
                    await exchange.run(served.app)
                    assert exchange.status == status, (target, exchange.content)
                    ids = [v for k, v in exchange.sent[0]["headers"] if k == b"x-request-id"]
                    assert len(ids) == 1
                    assert sent != "night-7" or ids == [b"night-7"]
                    assert MADE.fullmatch(ids[0].decode()) or ids == [b"night-7"]
                    if status >= 400 and method != "HEAD":
                        assert json.loads(exchange.content)["request_id"] == ids[0].decode()

    run(work)


def test_refusals_of_foreign_pages_have_ids_that_pages_may_read(tiny_store: Path) -> None:
    async def work() -> None:
        async with running(tiny_store, allowed_origins="https://app.example") as served:
            for origin, status in (("https://evil.example", 403), ("https://app.example", 200)):
                headers = {"X-Request-Id": "p-1", "Origin": origin, "Host": "127.0.0.1"}
                exchange = Exchange("POST", "/log_prob", b'{"x": [[1, 2]]}', headers)
                answered = dict((await exchange.run(served.app)).sent[0]["headers"])
                assert exchange.status == status
                assert answered[b"x-request-id"] == b"p-1"
            exposed = answered[b"access-control-expose-headers"].decode()
            assert {"X-Request-Id", "Server-Timing"} <= set(exposed.split(", "))

    run(work)


def _id_of(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.search(rb"\r\nx-request-id: (\S+)\r\n", head)
    assert found is not None
    assert json.loads(body)["request_id"] == found[1].decode()
    return found[1].decode()


def test_what_a_connection_refuses_by_itself_has_an_id() -> None:
    async def work() -> None:
        party = Party()
        for sent, status in ((b"nonsense\r\n\r\n", 400), (b"GET /" + b"a" * 70_000, 431)):
            caller = party.caller()
            await caller.says(sent)
            answer = await caller.hears()
            assert statuses(answer) == [status]
            assert MADE.fullmatch(_id_of(answer))
        slow = party.caller()
        await slow.says(b"GET / HTTP/1.1\r\n")
        await party.wait(31)
        answer = await slow.hears()
        assert statuses(answer) == [408]
        assert MADE.fullmatch(_id_of(answer))
        busy = [party.caller() for _ in range(9)]
        for caller in busy:
            await caller.says(b"GET ")
        answers = [await caller.hears() for caller in busy]
        assert statuses(answers[-1]) == [503]
        assert MADE.fullmatch(_id_of(answers[-1]))

    run(work)


def test_a_body_that_does_not_come_is_refused_with_the_id_of_its_head(tiny_store: Path) -> None:
    async def work() -> None:
        async with running(tiny_store) as served:
            party = Party(app=served.app)
            party.registry.on_refusal = served.server.telemetry.refused
            caller = party.caller()
            head = b"POST /log_prob HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: night-7\r\n"
            await caller.says(head + b"Content-Length: 100\r\n\r\n{")
            await party.wait(66)
            answer = await caller.hears()
            assert statuses(answer) == [408]
            assert _id_of(answer) == "night-7"
            said = served.server.metrics.exposition().decode()
        of = {"endpoint": "log_prob", "model": "unknown"}
        assert metric_of(said, "bijecta_requests_total", code="408", **of) == 1
        assert metric_of(said, "bijecta_request_failures_total", reason="too-slow", **of) == 1
        assert metric_of(said, "bijecta_request_failures_total") == 1
        assert metric_of(said, "bijecta_rejections_total", reason="too-slow") == 1

    run(work)
