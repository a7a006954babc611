"""A line of JSON for each request, which costs nobody an answer."""

import json
import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.errors import masked
from service.security import new_key
from service.telemetry import RequestLog, RequestRecord
from service.telemetry.request_log import MAX_PATH, MAX_WAITING_BYTES, line_of
from tests.helpers.exchange import Exchange
from tests.helpers.http import metric_of
from tests.helpers.running import NAME, run, running
from tests.helpers.waiting import until
from tests.helpers.wire import Party

FIELDS = [
    "time",
    "request_id",
    "trace_id",
    "method",
    "path",
    "status",
    "reason",
    "model",
    "version",
    "rows",
]
FIELDS += ["key", "bytes_in", "bytes_out", "total_us", "receive_us", "parse_us", "queue_us"]
FIELDS += ["run_us", "serialise_us"]


class Pipe:
    """A pipe, and what has come through it."""

    def __init__(self) -> None:
        self.source, self.descriptor = os.pipe()

    def lines(self) -> list[dict[str, Any]]:
        """What has come, once the other end is closed."""
        os.close(self.descriptor)
        return self.source_lines()

    def source_lines(self) -> list[dict[str, Any]]:
        with os.fdopen(self.source, "rb") as file:
            return [json.loads(line) for line in file]


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


@pytest.fixture
def to_pipe(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """What a server in this process writes to standard output."""
    monkeypatch.setattr("service.server.STANDARD_OUTPUT", pipe.descriptor)
    return pipe


def record(path: str = "/log_prob", number: int = 0) -> RequestRecord:
    return RequestRecord(f"r-{number}", "POST", path, "log_prob")


def test_every_request_has_a_line_refused_ones_too(tiny_store: Path, to_pipe: Pipe) -> None:
    good, bad = b'{"x": [[1, 2], [3, 4.25]]}', b'{"x": [["secret"]]}'

    async def work() -> None:
        async with running(tiny_store, request_log=True, max_body_mib=1) as served:
            for method, target, body in (
                ("POST", "/log_prob?output=log_prob&seed_secret=1", good),
                ("POST", "/encode", good),
                ("POST", "/log_prob", bad),
                ("POST", "/log_prob", b" " * (2 * 2**20)),
                ("POST", "/sample?n=60000", b""),
                ("GET", "/nowhere/secret" * 100, b""),
                ("HEAD", "/models", b""),
            ):
                headers = {"X-Request-Id": f"r{target[:5]}", "Authorization": "Bearer secret"}
                await Exchange(method, target, body, headers).run(served.app)
            party = Party(app=served.app)
            party.registry.on_refusal = served.server.telemetry.refused
            await party.caller().says(b"secret\r\n\r\n")

    before = datetime.now(UTC)
    run(work)
    lines = to_pipe.lines()
    assert [(each["method"], each["status"], each["reason"], each["rows"]) for each in lines] == [
        ("POST", 422, "invalid-input", None),
        ("POST", 200, None, 2),
        ("POST", 422, "invalid-input", None),
        ("POST", 413, "too-large", None),
        ("POST", 200, None, 60_000),
        ("GET", 404, "not-found", None),
        ("HEAD", 200, None, None),
        (None, 400, "malformed-body", None),
    ]
    for each in lines:
        assert list(each) == FIELDS
        assert before <= datetime.fromisoformat(each["time"]) <= datetime.now(UTC)
        assert sum(each[name] for name in FIELDS[-5:]) >= 0
    encoded, sampled, nowhere = lines[1], lines[4], lines[5]
    assert (encoded["model"], encoded["version"], encoded["path"]) == (NAME, 1, "/encode")
    assert encoded["request_id"] == "r/enco"
    assert (encoded["bytes_in"], encoded["bytes_out"] > 40) == (len(good), True)
    assert all(encoded[name] >= 0 for name in FIELDS[-6:])
    assert encoded["total_us"] >= sum(encoded[name] for name in FIELDS[-5:])
    assert sampled["bytes_out"] > 60_000
    assert lines[6]["bytes_out"] == 0
    assert len(nowhere["path"]) == MAX_PATH + 1
    assert not any("secret" in json.dumps(each) for each in lines if each is not nowhere)


def test_without_the_setting_there_is_no_line_and_no_thread(
    tiny_store: Path, to_pipe: Pipe
) -> None:
    async def work() -> None:
        async with running(tiny_store) as served:
            await Exchange("POST", "/log_prob", b'{"x": [[1, 2]]}').run(served.app)
            assert "request-log" not in {thread.name for thread in threading.enumerate()}

    run(work)
    assert to_pipe.lines() == []


def test_nobody_waits_for_a_reader_who_takes_nothing(pipe: Pipe) -> None:
    counts: Counter[bool] = Counter()

    def counted(lines: int, is_written: bool) -> None:
        counts[is_written] += lines

    log = RequestLog(pipe.descriptor, counted)
    number, longest = 0, 0.0
    while not counts[False]:
        began = time.thread_time()
        log.write(record("/" + "a" * 5000, number), 0.1)
        longest = max(longest, time.thread_time() - began)
        number += 1
    assert number * 900 > MAX_WAITING_BYTES  # as many as there is room for
    assert longest < 1
    lines: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: lines.extend(pipe.source_lines()))
    reader.start()  # it is back
    log.close()
    os.close(pipe.descriptor)
    reader.join(10)
    assert [each["request_id"] for each in lines] == [f"r-{i}" for i in range(number - 1)]
    assert counts == {True: number - 1, False: 1}


def test_lines_of_several_processes_in_one_pipe_stay_lines() -> None:
    readable, writable = os.pipe()
    logs = [RequestLog(writable, lambda *_: None, is_shared=True) for _ in range(3)]
    for number in range(600):
        for log in logs:
            log.write(record(number=number), 0.001)
    came = b""
    while came.count(b"\n") < 1800:
        came += os.read(readable, 1000)
    for log in logs:
        log.close()
    assert Counter(json.loads(line)["request_id"] for line in came.splitlines()) == {
        f"r-{number}": 3 for number in range(600)
    }
    os.close(readable)
    os.close(writable)


def test_a_reader_who_has_gone_costs_lines_alone(tiny_store: Path, to_pipe: Pipe) -> None:
    os.close(to_pipe.source)

    name = "bijecta_request_log_lines_total"

    async def work() -> None:
        async with running(tiny_store, request_log=True) as served:

            def lines(outcome: str) -> float:
                text = served.server.metrics.exposition().decode()
                return metric_of(text, name, outcome=outcome)

            for number in (1, 2):
                exchange = Exchange("POST", "/log_prob", b'{"x": [[1, 2]]}')
                assert (await exchange.run(served.app)).status == 200
                await until(lambda number=number: lines("dropped") == number)  # type: ignore[misc]
            assert lines("written") == 0

    run(work)


@pytest.mark.parametrize("path", ["/\ud800", "/a\nb", "/\x00", "/ä\u202e"])
def test_a_line_is_one_line_of_json_whatever_the_path(path: str) -> None:
    line = line_of(record(path), 0.1)
    assert line.count(b"\n") == 1
    assert json.loads(line)["path"] in (path, ascii(path))


def test_a_key_in_a_path_is_in_no_record() -> None:
    key = new_key()
    assert key not in RequestRecord("r-1", "POST", f"/models/{key}/log_prob", "log_prob").path


@pytest.mark.parametrize("url", ["http://u:pw@host/v1", "http://u:pw@host//v1?a=b", "u:pw@host"])
def test_no_url_shows_who_logs_in(url: str) -> None:
    assert "pw" not in masked(url)
    assert masked("http://host//v1") == "http://host//v1"
