"""Bodies and departures behind our own connections and behind hypercorn, another ASGI server."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from service.http.app import create_app
from tests.helpers.asgi import ASGI_SERVERS, Held, make_server
from tests.helpers.http import ARROW, NPY, metric
from tests.helpers.waiting import wait_until

BODY = json.dumps({"x": [[0.5, 0.5], [1.0, -0.5]]}).encode()


@dataclass
class Behind:
    """An application behind an ASGI server."""

    port: int
    client: httpx.Client

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def answers(self, code: str, endpoint: str = "log_prob") -> float:
        return metric(self.client, "bijecta_requests_total", endpoint=endpoint, code=code)

    def cancelled(self) -> float:
        labels = {"endpoint": "log_prob", "reason": "cancelled"}
        return metric(self.client, "bijecta_request_failures_total", **labels)


@pytest.fixture(scope="module", params=ASGI_SERVERS)
def behind(moons_store: Path, request: pytest.FixtureRequest) -> Iterator[Behind]:
    app = create_app(make_server(moons_store))
    with ASGI_SERVERS[request.param](app) as port, _client(port) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield Behind(port, client)


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)


def head(length: int, *more: str) -> bytes:
    lines = ["POST /log_prob HTTP/1.1", "Host: here", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(connection: socket.socket, rest: bytes = b"") -> tuple[int, bytes, bytes]:
    """Status and body of an answer, and what has come of the next one."""
    while b"\r\n\r\n" not in rest:
        rest += _more(connection)
    top, _, rest = rest.partition(b"\r\n\r\n")
    lines = [line.split(b":") for line in top.lower().split(b"\r\n")]
    length = next(int(line[1]) for line in lines if line[0] == b"content-length")
    while len(rest) < length:
        rest += _more(connection)
    return int(top[9:12]), rest[:length], rest[length:]


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    assert data, "the server has closed the connection"
    return data


@pytest.mark.parametrize("cuts", [[], [7], [1, 7, 20]], ids=["one", "two", "four"])
def test_a_body_in_one_message_and_in_several(behind: Behind, cuts: list[int]) -> None:
    whole = behind.client.post("/log_prob", content=BODY)
    with behind.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head(len(BODY)))
        for start, end in zip([0, *cuts], [*cuts, len(BODY)], strict=True):
            time.sleep(0.05)  # so that each comes by itself, behind the head
            connection.sendall(BODY[start:end])
        status, body, rest = read_answer(connection)
    assert (status, body, rest) == (200, whole.content, b"")


def test_pipelined_requests_are_answered_in_turn(behind: Behind) -> None:
    bodies = [json.dumps({"x": [[0.1 * i, 0.5]]}).encode() for i in range(4)]
    expected = [behind.client.post("/log_prob", content=body).content for body in bodies]
    with behind.connect() as connection:
        connection.sendall(b"".join(head(len(body)) + body for body in bodies))
        rest = b""
        for content in expected:
            status, body, rest = read_answer(connection, rest)
            assert (status, body) == (200, content)
        assert rest == b""


def test_a_departure_during_a_long_question_cancels_it(behind: Behind, held: Held) -> None:
    gone, cancelled = behind.answers("499"), behind.cancelled()
    with behind.connect() as connection:
        connection.sendall(head(len(BODY)) + BODY)
        assert held.begun.wait(10)
    assert held.cancelled.wait(10)
    wait_until(lambda: behind.answers("499") == gone + 1)
    assert behind.cancelled() == cancelled + 1
    assert metric(behind.client, "bijecta_inflight_requests") == 1  # the one that asks for this


def test_a_departure_before_the_body_ends_begins_nothing(behind: Behind, held: Held) -> None:
    gone = behind.answers("499")
    with behind.connect() as connection:
        connection.sendall(head(len(BODY) + 1) + BODY)
        time.sleep(0.1)
    wait_until(lambda: behind.answers("499") == gone + 1)
    assert not held.begun.is_set()


ARROW_SAMPLE = ("/sample?n=20000", b"", f"Accept: {ARROW}")
JSON_PATH = (
    "/interpolate",
    b'{"start": [0.1, 0.2], "end": [0.3, 0.4], "steps": 20000}',
    "Content-Type: application/json",
)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(("path", "body", "field"), [ARROW_SAMPLE, JSON_PATH])
def test_an_answer_in_pieces_comes_in_chunks_to_no_caller_of_http_1_0(
    behind: Behind, version: str, path: str, body: bytes, field: str
) -> None:
    lines = [f"POST {path} HTTP/{version}", "Host: here", f"Content-Length: {len(body)}", field]
    with behind.connect() as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    top, _, content = answer.partition(b"\r\n\r\n")
    is_chunked = b"transfer-encoding: chunked" in top.lower()
    assert is_chunked == (version == "1.1")
    assert b"connection: close" in top.lower()
    if is_chunked:
        return
    if path == "/interpolate":
        assert len(json.loads(content)["x"]) == 20_000
    else:
        assert pa.ipc.open_stream(content).read_all().num_rows == 20_000


@pytest.mark.parametrize("when", ["while it is drawn", "while it waits in send"])
def test_a_departure_during_a_stream_ends_it(behind: Behind, when: str) -> None:
    def rows() -> float:
        return metric(behind.client, "bijecta_batch_rows_sum", graph="decode")

    def waits() -> bool:
        drawn = rows()
        time.sleep(0.3)
        return rows() == drawn

    before = rows()
    lines = ["POST /sample?n=5000000 HTTP/1.1", "Host: here", f"Accept: {NPY}"]
    with behind.connect() as connection:
        connection.sendall("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
        assert connection.recv(65536)[:12] == b"HTTP/1.1 200"
        if when == "while it waits in send":
            wait_until(waits)
    wait_until(lambda: metric(behind.client, "bijecta_inflight_requests") == 1)
    assert rows() - before < 1_000_000
    assert behind.client.post("/log_prob", content=BODY).status_code == 200
