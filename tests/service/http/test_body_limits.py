"""What one body may cost a server with low limits: refused before it is parsed, all given back."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.helpers.exchange import Exchange
from tests.helpers.http import NPY, to_npy
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import until

MIB = 2**20
GOOD = b'{"x": [[0.5, -2.0]]}'
VALUES = 20_000


@asynccontextmanager
async def low_limits(folder: Path, **settings: Any) -> AsyncIterator[tuple[ASGIApp, Server]]:
    if not (folder / "tiny").exists():
        write_tiny_bundle(folder, "tiny")
    low = {"max_json_values": VALUES, "max_json_mib": 1, "max_body_mib": 4, "max_inflight_mib": 8}
    server = Server(Settings(store=folder, device="cpu", **(low | settings)))
    app = create_app(server)
    async with server.running():
        await until(lambda: server.ready)
        yield app, server
        assert server.inflight.held == 0
        async with asyncio.timeout(30):
            await server.inflight.parsing.in_thread(int)  # its thread is free
        after = await Exchange("POST", "/log_prob", GOOD).run(app)
        assert after.status == 200


def infer(x: dict[str, Any]) -> bytes:
    described = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.5, -2.0]}
    return json.dumps({"inputs": [described | x]}).encode()


def zipped(content: bytes, level: int = 9) -> tuple[bytes, dict[str, str]]:
    return gzip.compress(content, level, mtime=0), {"content-encoding": "gzip"}


NO_VALUES = b'{"x": [' + b"[]," * VALUES + b"[]]}"
TEXTS: dict[str, Any] = {"shape": [VALUES + 1], "datatype": "BYTES", "data": None}
TEXTS |= {"parameters": {"binary_data_size": 4 * VALUES + 4}}
HEAD = infer(TEXTS).replace(b', "data": null', b"")

COUNTED = np.arange(5 * MIB // 4, dtype="<u4").tobytes()

# target, body, headers, status, words
REFUSED: dict[str, tuple[str, bytes, dict[str, str], int, str]] = {
    "values in JSON": ("/log_prob", NO_VALUES, {}, 413, "may have 20000 values in JSON"),
    "values in gzip": ("/log_prob", *zipped(NO_VALUES), 413, "may have 20000 values in JSON"),
    "keys in JSON": (
        "/log_prob",
        json.dumps({f"k{i}": 0 for i in range(VALUES // 4)}).encode(),
        {},
        413,
        "may have 2500 keys in JSON",
    ),
    "values in tensors": (
        "/v2/models/tiny/infer",
        infer({"data": [0] * (VALUES + 1)}),
        {},
        413,
        "may have 20000 values in JSON",
    ),
    "texts in tensors": (
        "/v2/models/tiny/infer",
        HEAD + bytes(4 * VALUES + 4),
        {"inference-header-content-length": str(len(HEAD))},
        413,
        "may have 20000 texts",
    ),
    "bytes of JSON": ("/log_prob", b" " * (MIB + 1), {}, 413, "1048576 bytes of JSON"),
    "decompressed to its ratio": (
        "/log_prob",
        *zipped(b" " * 3 * MIB),
        413,
        "may hold 250 times its compressed bytes",
    ),
    "decompressed to the limit": ("/log_prob", *zipped(COUNTED, 1), 413, "4194304 bytes"),
    "more than all may hold": (
        "/log_prob",
        to_npy(np.zeros((2**20, 2), "u1")),
        {"content-type": NPY},
        413,
        "all requests in progress may take 8388608 together",
    ),
    "a request of the repository": ("/v2/repository/index", b" " * 65537, {}, 413, "65536 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_cost_too_much_is_refused(tmp_path: Path, case: str) -> None:
    target, body, headers, status, words = REFUSED[case]

    async def ask() -> None:
        async with low_limits(tmp_path) as (app, _):
            answer = await Exchange("POST", target, body, headers).run(app)
            assert (answer.status, words in answer.content.decode()) == (status, True), (
                answer.content[:400]
            )

    asyncio.run(ask())


def test_a_body_within_the_limits_is_read_in_every_way(tmp_path: Path) -> None:
    rows = np.arange(2 * 4000, dtype=np.float32).reshape(4000, 2)
    as_json = json.dumps({"x": rows.tolist()}).encode()
    as_npy = to_npy(rows.repeat(15, 0))  # parsed in a thread
    bodies: list[tuple[bytes, dict[str, str]]] = [
        (as_json, {}),
        zipped(as_json),
        (as_npy, {"content-type": NPY}),
        (gzip.compress(as_npy), {"content-type": NPY, "content-encoding": "gzip"}),
    ]

    async def ask() -> None:
        async with low_limits(tmp_path, queue_rows=100_000, max_inflight_mib=20) as (app, _):
            for body, headers in bodies:
                headers["accept"] = "application/json"
                answer = await Exchange("POST", "/log_prob", body, headers).run(app)
                assert answer.status == 200, answer.content[:300]
                log_prob = json.loads(answer.content)["log_prob"]
                assert log_prob[:: 15 if len(log_prob) > 4000 else 1][:3] == [1, 5, 9]

    asyncio.run(ask())


def test_a_full_budget_refuses_with_429_until_others_have_ended(tmp_path: Path) -> None:
    async def ask() -> None:
        async with low_limits(tmp_path) as (app, server):
            with server.inflight.share() as others:
                others.charge(server.inflight.limit - len(GOOD))
                assert (await Exchange("POST", "/log_prob", GOOD).run(app)).status == 200
                for target, body in (
                    ("/log_prob", GOOD + b" "),
                    ("/v2/models/tiny/infer", infer({})),
                    ("/v2/repository/index", b"{}" + b" " * 40),
                ):
                    answer = await Exchange("POST", target, body).run(app)
                    assert answer.status == 429, answer.content
                    head = dict(answer.sent[0]["headers"])
                    assert head[b"retry-after"] == b"1"
                metrics = await Exchange("GET", "/metrics").run(app)
                assert (
                    b'endpoint="log_prob",model="unknown",reason="memory-full"} 1.0'
                    in metrics.content
                )
                assert b"bijecta_inflight_bytes 8.38" in metrics.content

    asyncio.run(ask())


def test_a_request_holds_its_rows_until_its_answer_has_been_taken(tmp_path: Path) -> None:
    rows = np.zeros((50_000, 2), np.float32)

    async def ask() -> None:
        async with low_limits(tmp_path, queue_rows=100_000) as (app, server):
            slow = Exchange("POST", "/log_prob", to_npy(rows), {"content-type": NPY})
            slow.taken.clear()
            task = asyncio.create_task(slow.run(app))
            await until(lambda: len(slow.sent) > 1)
            assert server.inflight.held >= rows.nbytes
            slow.taken.set()
            await task

    asyncio.run(ask())


@pytest.mark.parametrize("count", [2, 4, 2000])
def test_of_many_unknown_fields_the_first_few_are_named(tmp_path: Path, count: int) -> None:
    fields = {"a\n" * 500: 1} | {f"unknown{i}": 1 for i in range(1, count)}
    body = json.dumps(fields | {"x": [[0, 0]]}).encode()

    async def ask() -> None:
        async with low_limits(tmp_path) as (app, _):
            detail = json.loads((await Exchange("POST", "/log_prob", body).run(app)).content)[
                "detail"
            ]
            assert "unknown1 is not known here" in detail
            assert "\n" not in detail
            assert len(detail) < 1000
            if count > 100:
                assert "unknown3" not in detail
                assert f"{count - 3} more are not known here" in detail
            many = "&".join(f"a{i}=1" for i in range(65))
            answer = await Exchange("POST", f"/sample?{many}").run(app)
            assert b"may have 64 fields, this one has more" in answer.content
            url = "&".join(f"{k}=1" for k in list(fields)[1:60])
            answer = await Exchange("POST", f"/sample?{url}").run(app)
            assert answer.status == 422
            assert len(answer.content) < 1000

    asyncio.run(ask())
