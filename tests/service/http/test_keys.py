"""Who may do what: with no key, a wrong one, and keys of every kind."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from service.http.admission import OPEN_PATHS, _scopes
from service.http.app import create_app
from service.http.routes import ROUTERS
from service.security import Keyring
from service.server import Server
from tests.helpers.api_keys import CALLERS, Lines, add_key, bearer, keys_of_every_kind
from tests.helpers.asgi import make_server, running_app
from tests.helpers.http import metric_of
from tests.helpers.tiny import write_tiny_bundle

ROW = b'{"model": "mine", "x": [[0, 0]]}'
OTHER = b'{"model": "other", "x": [[0, 0]]}'
TENSOR = json.dumps(
    {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0, 0]}]}
).encode()


@contextlib.asynccontextmanager
async def server(folder: Path, **settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Server]]:
    """A server of two models, with keys of every kind in a file."""
    store = folder / "store"
    if not store.exists():
        for name in ("mine", "other"):
            write_tiny_bundle(store, name)
    options = {"keys": folder / "keys.json", "model_control": True} | settings
    async with running_app(store, **options) as (app, running):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client, running


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, dict[str, str]]:
    """The header of each caller."""
    made = keys_of_every_kind(tmp_path / "keys.json")
    return {name: bearer(key) for name, key in made.items()}


NOBODY = (401, 401, 401)

TABLE: list[tuple[str, str, bytes, tuple[int, ...]]] = [
    ("GET", "/health/live", b"", (200,) * 8),
    ("GET", "/health/ready", b"", (200,) * 8),
    ("GET", "/v2/health/live", b"", (200,) * 8),
    ("GET", "/v2/health/ready", b"", (200,) * 8),
    ("GET", "/", b"", (200,) * 8),
    ("GET", "/playground/style.css", b"", (200,) * 8),
    ("GET", "/playgrounds", b"", (*NOBODY, 404, 404, 403, 404, 404)),
    ("GET", "/docs", b"", (200,) * 8),
    ("GET", "/openapi.json", b"", (200,) * 8),
    ("GET", "/llms.txt", b"", (200,) * 8),
    ("GET", "/metrics", b"", (*NOBODY, 403, 403, 200, 200, 200)),
    ("HEAD", "/metrics", b"", (*NOBODY, 403, 403, 200, 200, 200)),
    ("GET", "/v2", b"", (*NOBODY, 200, 200, 403, 200, 200)),
    ("GET", "/models", b"", (*NOBODY, 200, 200, 403, 200, 200)),
    ("GET", "/models/mine", b"", (*NOBODY, 200, 200, 403, 200, 200)),
    ("GET", "/models/other", b"", (*NOBODY, 200, 403, 403, 200, 403)),
    ("GET", "/models/other/watch", b"", (*NOBODY, 422, 403, 403, 422, 403)),
    ("GET", "/models/mine.decode", b"", (*NOBODY, 404, 403, 403, 404, 403)),
    ("GET", "/models/none", b"", (*NOBODY, 404, 403, 403, 404, 403)),
    ("GET", "/v2/models/other", b"", (*NOBODY, 200, 403, 403, 200, 403)),
    ("GET", "/v2/models/mine.decode", b"", (*NOBODY, 200, 200, 403, 200, 200)),
    ("GET", "/v2/models/other.decode/stats", b"", (*NOBODY, 200, 403, 403, 200, 403)),
    ("GET", "/v2/models/stats", b"", (*NOBODY, 200, 200, 403, 200, 200)),
    ("POST", "/log_prob", ROW, (*NOBODY, 200, 200, 403, 403, 403)),
    ("POST", "/log_prob", OTHER, (*NOBODY, 200, 403, 403, 403, 403)),
    ("POST", "/sample?model=other", b"", (*NOBODY, 200, 403, 403, 403, 403)),
    ("POST", "/v2/models/mine/infer", TENSOR, (*NOBODY, 200, 200, 403, 403, 403)),
    ("POST", "/v2/models/other/infer", TENSOR, (*NOBODY, 200, 403, 403, 403, 403)),
    ("POST", "/v2/models/other/versions/1/infer", TENSOR, (*NOBODY, 200, 403, 403, 403, 403)),
    ("POST", "/v2/repository/index", b"", (*NOBODY, 200, 200, 403, 200, 200)),
    ("POST", "/v2/repository/models/mine/load", b"", (*NOBODY, 403, 403, 403, 200, 200)),
    ("POST", "/v2/repository/models/other/unload", b"", (*NOBODY, 403, 403, 403, 200, 403)),
    (
        "POST",
        "/v2/repository/models/mine/watch/reset",
        b"",
        (*NOBODY, 403, 403, 403, 400, 400),
    ),
    ("GET", "/unknown", b"", (*NOBODY, 404, 404, 403, 404, 404)),
    ("PUT", "/models", b"", (*NOBODY, 405, 405, 403, 403, 403)),
]


def test_who_may_do_what(tmp_path: Path, keys: dict[str, dict[str, str]]) -> None:
    async def work() -> None:
        async with server(tmp_path) as (client, running):
            lines = running.telemetry._request_log = Lines()  # type: ignore[assignment]
            for method, path, body, expected in TABLE:
                found = []
                for caller in CALLERS:
                    said = await client.request(
                        method, path, content=body or None, headers=keys[caller]
                    )
                    found.append(said.status_code)
                    check_form(said)
                assert tuple(found) == expected, (method, path)
            text = running.metrics.exposition().decode()
            for reason in ("unauthorized", "not-permitted"):
                assert metric_of(text, "bijecta_request_failures_total", reason=reason) > 10
                assert metric_of(text, "bijecta_rejections_total", reason=reason) > 10
            # a line of each, with who asked, and why not
            assert len(lines.records) == len(TABLE) * len(CALLERS)
            names = {None, "ask", "mine", "metrics", "admin", "mine-admin"}
            assert {record.key for record in lines.records} == names
            for record in lines.records:
                assert (record.status == 401) == (record.reason == "unauthorized")
                assert record.status != 401 or record.key is None
                assert record.status != 403 or record.reason == "not-permitted"
            check_secret(lines.text, keys)

    asyncio.run(work())


def check_secret(text: str, keys: dict[str, dict[str, str]]) -> None:
    """No key is in a text."""
    for header in keys.values():
        assert not header or header["Authorization"].removeprefix("Bearer ") not in text


def check_form(said: httpx.Response) -> None:
    """What a refusal of a key is written as."""
    if said.status_code == 401:
        assert said.headers["www-authenticate"].startswith('Bearer realm="bijecta"')
    if said.status_code not in (401, 403) or said.request.method == "HEAD":
        return
    if said.request.url.path.startswith("/v2"):
        assert said.headers["content-type"] == "application/json"
        assert isinstance(said.json()["error"], str)
    else:
        assert said.headers["content-type"] == "application/problem+json"
        assert said.json()["status"] == said.status_code
    assert "bijecta_" not in said.text
    assert said.headers["x-request-id"] == said.json().get("request_id")


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_a_root_path_leads_past_no_check(
    tmp_path: Path, keys: dict[str, dict[str, str]], times: int
) -> None:
    async def work() -> None:
        async with server(tmp_path, root_path="/a") as (client, _):
            for path, caller in (
                ("/v2/repository/models/mine/unload", "ask"),
                ("/models/other", "mine"),
                ("/metrics", "ask"),
            ):
                method = "POST" if "unload" in path else "GET"
                said = await client.request(method, "/a" * times + path, headers=keys[caller])
                assert said.status_code == 403, said.text

    asyncio.run(work())


def test_what_changes_state_takes_an_admin_and_everything_else_a_key() -> None:
    """A route that is added is closed to who only asks, or is a listing that is named here."""
    listings = {"/v2/repository/index"}
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods or ():
                scopes = _scopes(method, route.path)
                assert route.path in OPEN_PATHS or scopes
                if method != "GET" and route.path not in listings:
                    assert scopes == ("admin",), route.path


def test_who_may_ask_one_model_is_told_of_no_other(
    tmp_path: Path, keys: dict[str, dict[str, str]]
) -> None:
    async def work() -> None:
        async with server(tmp_path) as (client, _):
            texts = []
            for method, path, body in (
                ("GET", "/models", b""),
                ("POST", "/v2/repository/index", b""),
                ("GET", "/v2/models/stats", b""),
                ("POST", "/log_prob", b'{"x": [[0, 0]]}'),  # its only model
                ("POST", "/log_prob", b'{"model": "mine@none", "x": [[0, 0]]}'),
                ("POST", "/log_prob", b'{"model": "none", "x": [[0, 0]]}'),
                ("POST", "/log_prob", b'{"model": "mine", "version": 9, "x": [[0, 0]]}'),
                ("GET", "/models/none", b""),
                ("GET", "/models/mine?version=9", b""),
                ("POST", "/v2/models/none/infer", TENSOR),
            ):
                said = await client.request(method, path, content=body, headers=keys["mine"])
                texts.append(said.text)
                assert "other" not in said.text, (path, said.text)
            assert all("mine" in text for text in texts[:3])
            assert json.loads(texts[0])["default"] is None
            assert json.loads(texts[3])["log_prob"] == [0]

    asyncio.run(work())


def test_a_model_that_is_allowed_and_not_there_names_no_other(tmp_path: Path) -> None:
    caller = bearer(add_key(tmp_path / "keys.json", models=["gone", "mine"]))

    async def work() -> None:
        async with server(tmp_path) as (client, _):
            for method, path, body in (
                ("POST", "/log_prob", b'{"model": "gone", "x": [[0, 0]]}'),
                ("GET", "/models/gone", b""),
                ("GET", "/v2/models/gone", b""),
            ):
                said = await client.request(method, path, content=body, headers=caller)
                assert said.status_code == 404
                assert "other" not in said.text
            said = await client.post("/log_prob", content=b'{"x": [[0, 0]]}', headers=caller)
            assert said.status_code == 422
            assert said.json()["detail"] == "say which model: one of gone, mine"

    asyncio.run(work())


@pytest.mark.parametrize(
    "where",
    [
        "?key={}",
        "?model=mine&api_key={}",
        "?api-key={}",
        "?access_token={}",
        "?token={}",
        "?Authorization=Bearer%20{}",
        "?x={}",
        "?api_key=anything",
        "/{}",
        "/models/x{}y/",
    ],
)
def test_a_key_in_the_url_is_refused_and_not_repeated(
    tmp_path: Path,
    keys: dict[str, dict[str, str]],
    where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    key = keys["ask"]["Authorization"].removeprefix("Bearer ")

    async def work() -> None:
        async with server(tmp_path) as (client, running):
            lines = running.telemetry._request_log = Lines()  # type: ignore[assignment]
            for headers in ({}, keys["ask"]):
                for path in ("/log_prob", "/v2/models/mine/infer"):
                    said = await client.post(
                        f"{path}{where.format(key)}", content=ROW, headers=headers
                    )
                    assert said.status_code == 400
                    assert said.json()["type"] == "urn:bijecta:key-in-url"
                    assert key not in said.text
                    assert lines.records[-1].reason == "key-in-url"
            check_secret(lines.text, keys)

    asyncio.run(work())
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    assert not any(key in record.getMessage() for record in ours)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes into a bucket."""
    monkeypatch.setattr("service.server.Keyring", partial(Keyring, clock=lambda: 0.0))


@pytest.mark.usefixtures("stopped_clock")
def test_requests_beyond_the_rate_are_told_when_to_come_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"

    async def work() -> None:
        callers = [bearer(add_key(path, name, requests_per_second=2)) for name in ("a", "b")]
        async with server(tmp_path) as (client, _):
            for endpoint, body, caller, field in (
                ("/log_prob", ROW, callers[0], "detail"),
                ("/v2/models/mine/infer", TENSOR, callers[1], "error"),
            ):
                said = [await client.post(endpoint, content=body, headers=caller) for _ in range(3)]
                assert [each.status_code for each in said] == [200, 200, 429]
                assert said[-1].headers["retry-after"] == "1"
                assert said[-1].json()[field] == "this key allows 2 requests a second"

    asyncio.run(work())


QUESTIONS: dict[str, tuple[str, Any, int]] = {
    "log_prob": ("/log_prob", {"x": [[0, 0]] * 7}, 7),
    "copies": ("/log_prob", {"x": [[0, 0]] * 2, "dequantize": 3}, 6),
    "encode": ("/encode", {"x": [[0, 0]] * 7}, 7),
    "decode": ("/decode", {"z": [[0, 0]] * 5}, 5),
    "layers": ("/layers", {"z": [[0, 0]] * 4}, 4),
    "sample": ("/sample", {"n": 9}, 9),
    "interpolate": ("/interpolate", {"start": [0, 0], "end": [1, 1], "steps": 4}, 6),
    "protocol": (
        "/v2/models/mine/infer",
        {"inputs": [{"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [0] * 6}]},
        3,
    ),
    "too many": ("/sample", {"n": 10**15}, 10_000_000),
}


@pytest.mark.parametrize("kind", QUESTIONS)
@pytest.mark.usefixtures("stopped_clock")
def test_rows_are_counted_before_they_are_worked_on(tmp_path: Path, kind: str) -> None:
    caller = bearer(add_key(tmp_path / "keys.json", rows_per_second=1, models=["mine"]))
    path, body, rows = QUESTIONS[kind]

    async def work() -> None:
        async with server(tmp_path) as (client, running):
            first = await client.post(path, json=body, headers=caller)
            assert first.status_code in (200, 413, 422)  # on credit
            ran = metric_of(running.metrics.exposition().decode(), "bijecta_batch_rows_count")
            said = await client.post(path, json=body, headers=caller)
            assert said.status_code == 429
            # one comes a second, and one is there at first
            assert int(said.headers["retry-after"]) == rows
            text = running.metrics.exposition().decode()
            assert metric_of(text, "bijecta_batch_rows_count") == ran

    asyncio.run(work())


def test_keys_are_taken_up_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.json"
    first = bearer(add_key(path, "first"))
    monkeypatch.setattr("service.security.keyring.LOOK_SECONDS", 0.01)

    async def work() -> None:
        async with server(tmp_path) as (client, running):

            async def settles(headers: dict[str, str], status: int) -> None:
                async with asyncio.timeout(20):
                    while (await client.get("/models", headers=headers)).status_code != status:
                        await asyncio.sleep(0.01)

            await settles(first, 200)
            second = bearer(add_key(path, "second"))
            await settles(second, 200)
            path.write_bytes(b"no keys")
            async with asyncio.timeout(20):
                while b"bijecta_keys_readable 1.0" in running.metrics.exposition():
                    await asyncio.sleep(0.01)
            await settles(first, 200)
            path.unlink()
            third = bearer(add_key(path, "third"))
            await settles(first, 401)
            await settles(third, 200)

    asyncio.run(work())


def test_pages_and_tools_are_told_how_to_send_a_key(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.json")

    async def work() -> None:
        origin = "https://app.example"
        async with server(tmp_path, allowed_origins=origin) as (client, _):
            described = (await client.get("/openapi.json")).json()
            assert described["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
            wish = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            said = await client.options("/log_prob", headers=wish)
            assert said.status_code == 204
            assert "Authorization" in said.headers["access-control-allow-headers"]
            said = await client.post("/log_prob", content=ROW, headers={"Origin": origin})
            assert said.status_code == 401
            assert said.headers["access-control-allow-origin"] == origin
            assert (await client.options("/log_prob")).status_code == 401

    asyncio.run(work())


def test_a_key_in_a_path_is_logged_nowhere_where_there_are_no_keys(
    tmp_path: Path, keys: dict[str, dict[str, str]]
) -> None:
    key = keys["ask"]["Authorization"].removeprefix("Bearer ")

    async def work() -> None:
        async with server(tmp_path, keys=None) as (client, running):
            lines = running.telemetry._request_log = Lines()  # type: ignore[assignment]
            assert (await client.get(f"/models/{key}")).status_code == 404
            assert lines.records[0].path == "/models/bijecta_***"
            assert (await client.get("/models/mine")).status_code == 200
            assert lines.records[1].path == "/models/mine"

    asyncio.run(work())


def test_a_limited_key_is_told_to_wait_for_the_models(tmp_path: Path) -> None:
    caller = bearer(add_key(tmp_path / "keys.json", models=["mine"]))
    write_tiny_bundle(tmp_path / "store", "mine")
    starting = make_server(tmp_path / "store", keys=tmp_path / "keys.json")

    async def work() -> None:
        transport = httpx.ASGITransport(create_app(starting))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            for path, status in (("/models/mine", 503), ("/models/other", 503), ("/models", 200)):
                assert (await client.get(path, headers=caller)).status_code == status
            said = await client.post("/log_prob", content=ROW, headers=caller)
            assert said.status_code == 503

    asyncio.run(work())
