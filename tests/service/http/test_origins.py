"""Which pages and hosts are answered, and where models may be changed."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ForbiddenError
from service.http.app import create_app
from service.http.origins import host_name, is_loopback
from service.server import Server
from service.settings import Settings
from tests.helpers.http import metric_of

OWN, OTHER = "http://here:8000", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


def ask(
    method: str, path: str, headers: dict[str, str], port: int = 8000, **settings: Any
) -> tuple[httpx.Response, str]:
    """The answer of a server whose models are not loaded yet, and its metrics."""
    server = Server(Settings(store=Path("nowhere"), device="cpu", **settings))
    transport = httpx.ASGITransport(create_app(server))

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://here:{port}") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(answer()), server.metrics.exposition().decode()


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        (None, "", 503),  # the models are not loaded: it has passed
        (OWN, "", 503),
        ("http://HERE:8000", "", 503),
        (OTHER, "", 403),
        ("null", "", 403),
        ("http://here", "", 403),
        ("http://here:8000.evil.example", "", 403),
        ("", "", 403),
        (OTHER, "https://app.example", 403),
        (OTHER, f"https://app.example,{OTHER}", 503),
        ("https://app.example", f"https://app.example, {OTHER}", 503),
        (OTHER, "*", 503),
    ],
)
@pytest.mark.parametrize("path", ["/log_prob", "/v2/models/moons/infer"])
def test_only_pages_that_may_ask_make_a_browser_work(
    path: str, origin: str | None, allowed: str, status: int
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    answer, metrics = ask("POST", path, headers, allowed_origins=allowed)
    assert answer.status_code == status
    endpoint = path[1:] if path.count("/") == 1 else "infer"
    refused = metric_of(
        metrics, "bijecta_request_failures_total", endpoint=endpoint, reason="foreign-origin"
    )
    assert refused == (status == 403)
    may_read = status == 503 and origin is not None and origin.lower() != OWN
    assert answer.headers.get("access-control-allow-origin") == (origin if may_read else None)
    assert ("origin" in answer.headers.get("vary", "").lower()) == may_read


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"])
def test_what_changes_nothing_is_answered_and_not_readable(method: str) -> None:
    answer, _ = ask(method, "/models", {"Origin": OTHER})
    assert "access-control-allow-origin" not in answer.headers
    expected = {"GET": 200, "HEAD": 200, "OPTIONS": 405}.get(method, 403)
    assert answer.status_code == expected


@pytest.mark.parametrize(("allowed", "status"), [("", 403), (OTHER, 204), ("*", 204)])
def test_a_browser_is_told_what_a_page_may_send(allowed: str, status: int) -> None:
    headers = {"Origin": OTHER, **PREFLIGHT}
    answer, _ = ask("OPTIONS", "/log_prob", headers, allowed_origins=allowed)
    assert answer.status_code == status
    assert answer.headers.get("access-control-allow-origin") == (OTHER if status == 204 else None)
    if status == 204:
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "content-type" in answer.headers["access-control-allow-headers"].lower()


def test_no_page_controls_models_unless_it_is_named() -> None:
    for allowed, status in (("*", 403), (OTHER, 503)):
        answer, _ = ask(
            "POST",
            "/v2/repository/models/moons/unload",
            {"Origin": OTHER, "Host": "localhost:8000"},
            allowed_origins=allowed,
            model_control=True,
        )
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "allowed", "control", "status"),
    [
        ("evil.example", "", False, 503),
        ("evil.example", "", True, 421),
        ("localhost.evil.example:8000", "", True, 421),
        ("127.0.0.1.evil.example", "", True, 421),
        ("10.0.0.1", "", True, 421),
        ("", "", True, 421),
        ("localhost:8000", "", True, 503),
        ("LOCALHOST.", "", True, 503),
        ("127.0.0.1:8000", "", True, 503),
        ("[::1]:8000", "", True, 503),
        ("evil.example", "*", True, 503),
        ("evil.example", "flows.example,*.flows.example", False, 421),
        ("xflows.example", "flows.example,*.flows.example", False, 421),
        ("flows.example:443", "flows.example,*.flows.example", False, 503),
        ("A.flows.example", "flows.example,*.flows.example", False, 503),
        ("localhost", "flows.example", True, 421),
        ("[2001:db8::1]:80", "[2001:db8::1]", False, 503),
    ],
)
def test_only_the_hosts_of_this_server_are_answered(
    host: str, allowed: str, control: bool, status: int
) -> None:
    headers = {"Host": host}
    answer, metrics = ask(
        "POST", "/log_prob", headers, allowed_hosts=allowed, model_control=control
    )
    assert answer.status_code == status
    refused = metric_of(
        metrics, "bijecta_request_failures_total", endpoint="log_prob", reason="unknown-host"
    )
    assert refused == (status == 421)
    # whoever looks after it asks by address
    answer, _ = ask("GET", "/health/live", headers, allowed_hosts=allowed, model_control=control)
    assert answer.status_code == 200


def test_a_name_that_leads_here_is_of_no_use_to_a_page() -> None:
    """DNS rebinding: the page and the server have one origin, by a name of the page's."""
    headers = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
    path = "/v2/repository/models/moons/unload"
    assert ask("POST", path, headers, model_control=True)[0].status_code == 421
    assert ask("POST", path, headers, control_port=9001)[0].status_code == 421


@pytest.mark.parametrize(
    ("port", "settings", "status"),
    [
        (8000, {}, 403),
        (8000, {"model_control": True}, 200),
        (8000, {"control_port": 9001}, 403),
        (8000, {"control_port": 9001, "model_control": True}, 403),
        (9001, {"control_port": 9001}, 200),
    ],
)
def test_models_are_changed_on_the_port_for_that(
    port: int, settings: dict[str, Any], status: int
) -> None:
    server = Server(Settings(store=Path("nowhere"), device="cpu", **settings))
    with nullcontext() if status == 200 else pytest.raises(ForbiddenError):
        server.check_control(port)


@given(st.binary(max_size=40))
def test_no_host_breaks_its_reader(host: bytes) -> None:
    name = host_name(host)
    assert isinstance(is_loopback(name), bool)
    assert ":" not in name or name.startswith("[")


@pytest.mark.parametrize(
    "settings",
    [
        {"allowed_hosts": "http://flows.example"},
        {"allowed_hosts": "flows.example:8000"},
        {"allowed_hosts": "*flows"},
        {"allowed_origins": "flows.example"},
        {"allowed_origins": "https://flows.example/"},
        {"control_port": 8000},
    ],
)
def test_settings_that_would_never_match_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Settings(store=Path("nowhere"), **settings)
