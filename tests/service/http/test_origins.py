"""Which pages and hosts are answered, and where models may be changed."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ForbiddenError, ServiceError
from service.http.app import create_app
from service.http.origins import Origins, host_name
from service.server import Server
from service.settings import Settings, is_loopback
from tests.helpers.api_keys import add_key
from tests.helpers.http import metric_of

OWN, OTHER = "http://here:8000", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


def verdict(
    method: str, path: str, headers: dict[str, str], **settings: Any
) -> tuple[int | None, str | None]:
    """The status with which a request is refused, if it is, and the origin that may read it."""
    fields = [
        (k.lower().encode(), v.encode()) for k, v in ({"Host": "here:8000"} | headers).items()
    ]
    scope = {"method": method, "path": path, "headers": fields}
    try:
        origin = Origins(Settings(store=Path("nowhere"), **settings)).other_origin(scope)
    except ServiceError as error:
        return error.status, None
    return None, None if origin is None else origin.decode()


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
        (None, "", None),
        (OWN, "", None),
        ("http://HERE:8000", "", None),
        (OTHER, "", 403),
        ("null", "", 403),
        ("http://here", "", 403),
        ("http://here:8000.evil.example", "", 403),
        ("", "", 403),
        (OTHER, "https://app.example", 403),
        (OTHER, f"https://app.example,{OTHER}", None),
        ("https://app.example", f"https://app.example, {OTHER}", None),
        (OTHER, "*", None),
    ],
)
@pytest.mark.parametrize("path", ["/log_prob", "/v2/models/moons/infer"])
def test_only_pages_that_may_ask_make_a_browser_work(
    path: str, origin: str | None, allowed: str, status: int | None
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    refused, readable = verdict("POST", path, headers, allowed_origins=allowed)
    assert refused == status
    is_other = origin is not None and origin.lower() != OWN
    assert readable == (origin if status is None and is_other else None)


@pytest.mark.parametrize(("allowed", "status"), [("", 403), (OTHER, 503)])
def test_a_page_is_answered_and_counted_as_it_may_ask(allowed: str, status: int) -> None:
    # the models are not loaded: 503 is an answer
    answer, metrics = ask("POST", "/log_prob", {"Origin": OTHER}, allowed_origins=allowed)
    assert answer.status_code == status
    labels = {"endpoint": "log_prob", "reason": "foreign-origin"}
    assert metric_of(metrics, "bijecta_request_failures_total", **labels) == (status == 403)
    may_read = status == 503
    assert answer.headers.get("access-control-allow-origin") == (OTHER if may_read else None)
    assert ("origin" in answer.headers.get("vary", "").lower()) == may_read


@pytest.mark.parametrize("allowed", [OTHER, "*"])
def test_a_page_that_may_ask_reads_why_it_may_not_this_time(allowed: str, tmp_path: Path) -> None:
    add_key(tmp_path / "keys")
    refused: list[tuple[str, dict[str, Any], int]] = [
        ("/log_prob", {"keys": tmp_path / "keys"}, 401),
        ("/log_prob", {"allowed_hosts": "there"}, 421),
    ]
    if allowed == "*":  # may ask, and control no models
        refused.append(("/v2/repository/models/a/load", {"allowed_hosts": "*"}, 403))
    for path, settings, status in refused:
        answer, _ = ask("POST", path, {"Origin": OTHER}, allowed_origins=allowed, **settings)
        assert answer.status_code == status
        assert answer.headers.get_list("access-control-allow-origin") == [OTHER]
        assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]


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
    path, headers = "/v2/repository/models/moons/unload", {"Origin": OTHER, "Host": "localhost"}
    for allowed, refused in (("*", (403, None)), (OTHER, (None, OTHER))):
        settings = {"allowed_origins": allowed, "model_control": True}
        assert verdict("POST", path, headers, **settings) == refused


@pytest.mark.parametrize(
    ("host", "allowed", "control", "status"),
    [
        ("evil.example", "", False, None),
        ("evil.example", "", True, 421),
        ("localhost.evil.example:8000", "", True, 421),
        ("127.0.0.1.evil.example", "", True, 421),
        ("10.0.0.1", "", True, 421),
        ("", "", True, 421),
        ("localhost:8000", "", True, None),
        ("LOCALHOST.", "", True, None),
        ("127.0.0.1:8000", "", True, None),
        ("[::1]:8000", "", True, None),
        ("evil.example", "*", True, None),
        ("evil.example", "flows.example,*.flows.example", False, 421),
        ("xflows.example", "flows.example,*.flows.example", False, 421),
        ("flows.example:443", "flows.example,*.flows.example", False, None),
        ("A.flows.example", "flows.example,*.flows.example", False, None),
        ("localhost", "flows.example", True, 421),
        ("[2001:db8::1]:80", "[2001:db8::1]", False, None),
    ],
)
def test_only_the_hosts_of_this_server_are_answered(
    host: str, allowed: str, control: bool, status: int | None
) -> None:
    settings = {"allowed_hosts": allowed, "model_control": control}
    for method in ("POST", "GET"):
        assert verdict(method, "/models", {"Host": host}, **settings) == (status, None)
    # whoever looks after it asks by address
    assert verdict("GET", "/health/live", {"Host": host}, **settings) == (None, None)


def test_a_request_for_another_host_is_answered_and_counted() -> None:
    answer, metrics = ask("POST", "/log_prob", {"Host": "evil.example"}, model_control=True)
    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"
    labels = {"endpoint": "log_prob", "reason": "unknown-host"}
    assert metric_of(metrics, "bijecta_request_failures_total", **labels) == 1


def test_a_name_that_leads_here_is_of_no_use_to_a_page() -> None:
    """DNS rebinding: the page and the server have one origin, by a name of the page's."""
    headers = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
    path = "/v2/repository/models/moons/unload"
    assert verdict("POST", path, headers, model_control=True)[0] == 421
    assert verdict("POST", path, headers, control_port=9001)[0] == 421


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
