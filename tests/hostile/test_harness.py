"""The instruments themselves: what they say of a server that is made up."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.hostile.attacker import attacker
from tests.hostile.attackers import ATTACKERS
from tests.hostile.measure import Result, attackers_of, check_bounds, check_log, check_statuses
from tests.hostile.page import write
from tests.hostile.prober import Prober, Seen

LINES = {f"B{number}" for number in range(1, 31)}
KINDS = {"vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv"}

# Lines whose fault is no matter of one hostile client; the tests named hold them.
ELSEWHERE = {
    "B22": "tests/service: class names in the query string",
    "B28": "tests/training: the commands",
}


def _result(**fields: object) -> Result:
    return Result("silence", "B8", "", 10.0, **fields)  # type: ignore[arg-type]


def test_each_line_and_kind_has_an_attacker() -> None:
    lines = {one.line for one in ATTACKERS.values()}
    assert lines <= LINES | KINDS
    assert (LINES | KINDS) - lines == set(ELSEWHERE)


def test_two_attackers_of_one_name_are_refused() -> None:
    async def silence(_: object) -> None: ...

    with pytest.raises(AssertionError, match="silence"):
        attacker("B8", "nothing")(silence)


def test_attackers_are_found_by_the_beginning_of_their_names() -> None:
    assert [one.name for one in attackers_of(["json-empty", "silence"])] == [
        "json-empty-lists",
        "silence",
    ]
    with pytest.raises(KeyError, match="silence"):
        attackers_of(["no such"])


def test_bounds_of_delay_memory_and_end_are_noticed() -> None:
    good, bad = (
        _result(p99=0.1, peak=9 * 10**8, stop=3.0),
        _result(p99=0.26, peak=11 * 10**8, stop=30.0),
    )
    for result in (good, bad):
        check_bounds(result, grace=10)
    assert good.failures == []
    assert [failure.split()[0] for failure in bad.failures] == ["p99", "1100", "it"]


def test_tracebacks_floods_and_forged_lines_are_noticed() -> None:
    cases = {
        "a traceback": ["Traceback (most recent call last):", "  File", "ValueError: x"],
        "a caller": ["2026-01-01 00:00:00 ERROR forged line"],
        "500 lines": ["2026-11-29 INFO skipped"] * 500,
        "a line": ["x" * 20_000],
    }
    for start, lines in cases.items():
        result = _result()
        check_log(result, lines)
        assert [failure for failure in result.failures if failure.startswith(start)]
    quiet = _result()
    check_log(quiet, ["INFO loaded"] * 50)
    assert quiet.failures == []


def test_statuses_beyond_the_expected_are_noticed() -> None:
    result = _result()
    check_statuses(
        result, ATTACKERS["silence"], {"statuses": {"0": 3, "400": 1, "500": 2}, "wrong": ["x"]}
    )
    assert result.failures == ["silence was answered {500: 2}", "silence: x"]
    assert result.statuses == {0: 3, 400: 1, 500: 2}


def test_quantiles_of_delays() -> None:
    seen = Seen([0.01 * k for k in range(100, 0, -1)])
    assert seen.quantile(0.5) == pytest.approx(0.51)
    assert seen.quantile(0.99) == pytest.approx(1.0)
    assert Seen().quantile(0.99) == float("inf")


def test_a_page_names_what_does_not_hold(tmp_path: Path) -> None:
    good, bad = _result(p99=0.1), _result(p99=0.3)
    check_bounds(bad, grace=10)
    write(tmp_path, "attackers", "Attackers", [good, bad])
    page = (tmp_path / "attackers.md").read_text()
    assert "2 attackers, 1 of which" in page
    assert "p99 of the prober is 300 ms" in page
    assert len(json.loads((tmp_path / "attackers.json").read_text())) == 2


def test_the_prober_asks_on_no_connection_that_the_server_has_closed() -> None:
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"]]}"))
        body = b'{"log_prob":[-1.5]}'
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    async def work() -> Seen:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            prober = Prober(server.sockets[0].getsockname()[1])
            for _ in range(3):
                await prober.probe(1)
                await asyncio.sleep(0.05)
            return prober.seen

    seen = asyncio.run(work())
    assert not seen.wrong
    assert len(seen.delays) == len(asked) == 3
