"""Tools of language models, asked by the client of the protocol's own SDK."""

import asyncio
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.app import create_app
from service.security import Keyring
from service.server import Server
from service.settings import Settings
from tests.helpers.api_keys import Lines, add_key, bearer
from tests.helpers.asgi import behind_uvicorn
from tests.helpers.detectors import write_detector_bundle
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.typed import write_typed_bundle
from tests.helpers.waiting import wait_until

mcp = pytest.importorskip("mcp", reason="MCP is not installed: pip install 'bijecta[mcp]'")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = tmp_path_factory.mktemp("tools")
    write_tiny_bundle(store, "tiny")
    write_typed_bundle(store, "table")
    write_detector_bundle(store, "detector")
    server = Server(Settings(store=store, device="cpu", mcp=True, max_json_values=100_000))
    with behind_uvicorn(create_app(server)) as port:
        wait_until(lambda: server.ready)
        yield f"http://127.0.0.1:{port}"


def called(address: str, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """The results of calls of tools, one after another."""

    async def call() -> list[Any]:
        async with mcp.Client(f"{address}/mcp") as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(asyncio.wait_for(call(), 60))


def native(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What a native route answers to the same."""
    if body is None:
        return httpx.get(f"{address}{path}").json()
    return httpx.post(f"{address}{path}", json=body).json()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_tools_are_listed_with_what_they_take(address: str, mode: Any) -> None:
    async def listed() -> dict[str, Any]:
        async with mcp.Client(f"{address}/mcp", mode=mode) as client:
            found = await client.list_tools()
            return {tool.name: tool for tool in found.tools}

    tools = asyncio.run(asyncio.wait_for(listed(), 60))
    assert list(tools) == ["models", "log_prob", "score", "sample"]
    schemas = {name: tool.input_schema for name, tool in tools.items()}
    assert all(schema["type"] == "object" for schema in schemas.values())
    assert {"model", "x", "rows", "columns", "dequantize"} <= schemas["log_prob"][
        "properties"
    ].keys()
    assert {"alpha", "fdr", "reasons", "rows"} <= schemas["score"]["properties"].keys()
    assert {"n", "seed", "temperature", "records"} <= schemas["sample"]["properties"].keys()
    assert schemas["sample"]["properties"]["n"]["maximum"] == 1000


def test_tools_answer_what_the_routes_answer(address: str) -> None:
    rows = {"model": "tiny", "x": [[0.5, 0.5], [1, -0.5]]}
    drawn = {"model": "table", "n": 3, "seed": 7, "records": True}
    results = called(
        address,
        ("models", {}),
        ("models", {"model": "tiny"}),
        ("log_prob", rows),
        ("sample", drawn),
    )
    assert [result.is_error for result in results] == [False] * 4
    models, tiny, log_prob, sample = (result.structured_content for result in results)
    assert models == native(address, "/models")
    assert tiny == native(address, "/models/tiny")
    assert log_prob == native(address, "/log_prob", rows)
    assert sample == native(address, "/sample", drawn)
    assert json.loads(results[2].content[0].text) == log_prob
    detected = {"model": "detector", "rows": sample_rows(address), "seed": 1}
    (scored,) = called(address, ("score", detected))
    assert scored.structured_content == native(address, "/score", detected)
    assert len(scored.structured_content["p_value"]) == 2


def sample_rows(address: str) -> list[dict[str, Any]]:
    """Two rows that the detector knows."""
    columns = native(address, "/models/detector")["columns"]
    return [{column["name"]: None for column in columns}] * 2


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        (
            "log_prob",
            {"model": "tiny", "x": [[0.5, 0.5], [1, "a"]]},
            r"x: .*\[1\]\[1\] is the string",
        ),
        ("log_prob", {"model": "tiny", "x": [[0.5]]}, "2"),
        ("log_prob", {"model": "tiny", "x": [[10**400, 1]]}, "x"),
        ("log_prob", {"model": "tiny"}, "x"),
        ("log_prob", {"model": "nobody", "x": [[1, 1]]}, "nobody"),
        ("log_prob", {"model": "tiny", "x": [[1, 1]], "rank": 1}, "rank"),
        (
            "log_prob",
            {"model": "tiny", "x": [[1, 1]] * 1001},
            "1001 rows .* 1000 .* POST /log_prob",
        ),
        ("score", {"model": "table", "rows": [{}] * 1001}, "rows: 1001"),
        ("score", {"model": "table", "columns": {"a": [1] * 1001}}, "columns: 1001"),
        ("score", {"model": "tiny", "x": [[1, 1]]}, "flow"),
        ("sample", {"model": "tiny", "n": 1001}, "n: 1001"),
        ("sample", {"model": "tiny", "n": -1}, "n"),
        ("sample", {"model": "tiny", "n": "many"}, "n"),
        ("models", {"model": "tiny/watch"}, "expected a name"),
        ("models", {"model": 3}, "expected a name"),
        ("models", {"name": "tiny"}, "name"),
        ("models", {"model": "nobody"}, "nobody"),
        ("decode", {"z": [[0, 0]]}, "there is no tool 'decode'"),
    ],
)
def test_an_error_is_the_tools_and_says_what_is_wrong(
    address: str, name: str, arguments: dict[str, Any], said: str
) -> None:
    (result,) = called(address, (name, arguments))
    assert result.is_error
    assert result.structured_content["status"] in (400, 404, 413, 422)
    assert result.content[0].text == result.structured_content["detail"]
    assert re.search(said, result.content[0].text), result.content[0].text


def test_an_answer_that_is_too_long_is_an_error(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.mcp.server.MAX_ANSWER_BYTES", 100)
    (result,) = called(address, ("sample", {"model": "tiny", "n": 50}))
    assert result.is_error
    assert "ask for fewer rows" in result.content[0].text


def test_what_is_no_call_is_refused(address: str) -> None:
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    assert httpx.get(f"{address}/mcp").status_code == 405
    assert httpx.delete(f"{address}/mcp").status_code == 405
    for body in ("", "{", "[]", '{"jsonrpc": "2.0", "id": 1, "method": "nothing"}'):
        answer = httpx.post(f"{address}/mcp", content=body, headers=headers)
        assert answer.status_code < 500, body
        assert "error" in answer.json() or "detail" in answer.json()
    large = httpx.post(f"{address}/mcp", content=b" " * (2**22 + 1), headers=headers)
    assert large.status_code == 413
    foreign = headers | {"Origin": "https://elsewhere.example"}
    assert httpx.post(f"{address}/mcp", content="{}", headers=foreign).status_code == 403


def test_calls_are_counted_as_calls_and_as_what_they_ask(address: str) -> None:
    called(address, ("sample", {"model": "tiny", "n": 1}))
    metrics = httpx.get(f"{address}/metrics").text
    endpoints = {
        line.split('endpoint="')[1].split('"')[0]
        for line in metrics.splitlines()
        if line.startswith("bijecta_requests_total{")
    }
    assert {"mcp", "sample"} <= endpoints


def test_a_tool_does_what_the_key_of_its_caller_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.server.Keyring", partial(Keyring, clock=lambda: 0.0))
    path, store = tmp_path / "keys.json", tmp_path / "store"
    limits: dict[str, Any] = {"models": ["mine"], "requests_per_second": 5, "rows_per_second": 3}
    limited, metrics = add_key(path, **limits), add_key(path, "metrics", scopes=["metrics"])
    for name in ("mine", "other"):
        write_tiny_bundle(store, name)
    server = Server(Settings(store=store, device="cpu", mcp=True, keys=path))
    lines = server.telemetry._request_log = Lines()  # type: ignore[assignment]
    with behind_uvicorn(create_app(server)) as port, httpx.Client() as client:
        wait_until(lambda: server.ready)

        def call(key: str, name: str, **arguments: Any) -> httpx.Response:
            params = {"name": name, "arguments": arguments}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            headers = {"Accept": "application/json"} | bearer(key)
            return client.post(f"http://127.0.0.1:{port}/mcp", json=body, headers=headers)

        assert call("", "models").status_code == 401
        assert call(metrics, "models").status_code == 403
        answers = [
            call(limited, "models"),
            call(limited, "models", model="other"),
            call(limited, "log_prob", x=[[0, 0]] * 3),
            call(limited, "log_prob", x=[[0, 0]] * 3),
            call(limited, "sample", n=1, model="other"),
        ]
        # five calls, and what they ask, were five requests
        assert call(limited, "models").status_code == 429
        listed, *said = [each.json()["result"]["structuredContent"] for each in answers]
    assert [model["name"] for model in listed["models"]] == ["mine"]
    assert "other" not in answers[0].text
    assert said[1]["log_prob"] == [0, 0, 0]
    assert [each.get("status") for each in said] == [403, None, 429, 403]
    assert said[2]["type"] == "urn:bijecta:rate-limited"
    assert limited not in lines.text
    assert {record.key for record in lines.records} == {None, "metrics", "somebody"}


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "tiny")
    server = Server(Settings(store=tmp_path, device="cpu"))
    with behind_uvicorn(create_app(server)) as port:
        wait_until(lambda: server.ready)
        assert httpx.post(f"http://127.0.0.1:{port}/mcp", content="{}").status_code == 404
