"""The key of a client: whom it is shown, whom it is not, and what a server says of it."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from bijecta_client import (
    AsyncClient,
    BijectaError,
    Client,
    NotPermittedError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from service.http.app import create_app
from tests.helpers.api_keys import add_key
from tests.helpers.asgi import behind_uvicorn, make_server
from tests.helpers.askers import Clock, Make, Server, X, scripted
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import wait_until

KEY = "bijecta_of-the-argument"


def shown(server: Server) -> list[str | None]:
    return [request.headers.get("Authorization") for request in server.asked]


@pytest.mark.parametrize(
    ("key", "variable", "expected"),
    [
        (None, None, None),
        (KEY, None, f"Bearer {KEY}"),
        (None, "bijecta_of-the-variable", "Bearer bijecta_of-the-variable"),
        (KEY, "bijecta_of-the-variable", f"Bearer {KEY}"),
        ("", "bijecta_of-the-variable", None),
        (None, "", None),
    ],
)
def test_a_key_is_the_arguments_or_the_variables(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    key: str | None,
    variable: str | None,
    expected: str | None,
) -> None:
    monkeypatch.delenv("BIJECTA_API_KEY", raising=False)
    if variable is not None:
        monkeypatch.setenv("BIJECTA_API_KEY", variable)
    asker, server = scripted(make, httpx.ConnectError("once"), key=key)
    asker("log_prob", X)
    assert shown(server) == [expected, expected]  # again with each try
    for text in (repr(asker.client), str(asker.client)):
        assert "of-the" not in text


def test_headers_of_ones_own_come_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIJECTA_API_KEY", KEY)
    for key, expected in ((None, "Basic own"), ("mine", "Bearer mine")):
        server = Server()
        http = httpx.Client(
            transport=httpx.MockTransport(server), headers={"Authorization": "Basic own"}
        )
        Client("http://flows", "moons", http=http, key=key).log_prob(X)
        assert shown(server) == [expected]


@pytest.mark.parametrize("key", ["two words", "a\n", "a\r\nHost: b", "é", "\x00", " "])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_key_is_refused_and_not_repeated(
    key: str, kind: type[Client | AsyncClient]
) -> None:
    with pytest.raises(ValueError, match="key: expected one word") as found:
        kind("http://flows", key=key)
    assert key not in str(found.value).replace("key: expected one word of", "").split(",")


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://elsewhere/v2/models/moons/infer", None),
        ("http://flows:8001/stays", None),
        ("http://flows/stays", f"Bearer {KEY}"),
    ],
)
def test_a_redirect_takes_no_key_to_another_host(
    target: str, expected: str | None, follows: bool
) -> None:
    """The client follows none; an httpx client that does takes the key nowhere else."""
    server, seen = Server(), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        if len(seen) == 1:
            return httpx.Response(307, headers={"Location": target})
        return server(request)

    http = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=follows)
    client = Client("http://flows", "moons", http=http, key=KEY, retries=0)
    if follows:
        client.log_prob(X)
        assert seen == [f"Bearer {KEY}", expected]
        return
    with pytest.raises(BijectaError) as found:
        client.log_prob(X)
    assert found.value.status == 307
    assert KEY not in str(found.value)
    assert len(seen) == 1
    assert not Client("http://flows", key=KEY)._http.follow_redirects


def problem(status: int, reason: str, **headers: str) -> httpx.Response:
    content = {"type": f"urn:bijecta:{reason}", "error": "not you", "status": status}
    return httpx.Response(status, json=content, headers=headers)


@pytest.mark.parametrize(
    ("said", "kind", "seconds"),
    [
        (problem(401, "unauthorized"), UnauthorizedError, None),
        (problem(403, "not-permitted"), NotPermittedError, None),
        (problem(400, "key-in-url"), RefusedError, None),
        (problem(429, "rate-limited", **{"Retry-After": "7"}), RateLimitedError, 7),
        (problem(429, "overloaded", **{"Retry-After": "2"}), UnavailableError, 2),
        (problem(503, "unavailable"), UnavailableError, None),
    ],
)
def test_each_refusal_has_its_own_kind(
    make: Make,
    clock: Clock,
    said: httpx.Response,
    kind: type[BijectaError],
    seconds: float | None,
) -> None:
    asker, server = scripted(make, *[said] * 9, key=KEY, retries=2, timeout=None)
    with pytest.raises(kind) as found:
        asker("log_prob", X)
    assert type(found.value) is kind
    assert getattr(found.value, "retry_after", None) == seconds
    assert KEY not in str(found.value) + repr(found.value)
    # who is refused is not served by asking again
    is_busy = isinstance(found.value, UnavailableError)
    assert len(server.asked) == (3 if is_busy else 1)
    assert all(pause > (seconds or 0) for pause in clock.sleeps)


def test_a_server_with_keys_knows_its_callers(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = tmp_path / "keys.json", tmp_path / "store"
    for name in ("mine", "other"):
        write_tiny_bundle(store, name)
    mine = add_key(path, models=["mine"])
    slow = add_key(path, "slow", rows_per_second=2)
    server = make_server(store, keys=path)
    with behind_uvicorn(create_app(server)) as port:
        wait_until(lambda: server.ready)

        def asker(key: str | None, **options: Any) -> Any:
            return make(f"http://127.0.0.1:{port}", key=key, retries=0, **options)

        assert asker(mine)("log_prob", X).tolist() == [1.0, 0.5]
        assert asker("")("ready")  # a probe has no key
        for question in ("models", "model"):
            with pytest.raises(UnauthorizedError, match="this server answers those who have a key"):
                asker("")(question)
        with pytest.raises(UnauthorizedError, match="not known here"):
            asker(mine[:-1])("log_prob", X)
        with pytest.raises(NotPermittedError, match="no key for model 'other'"):
            asker(mine, model="other")("log_prob", X)
        asker(slow, model="other")("log_prob", X)
        with pytest.raises(RateLimitedError, match="2 rows a second") as found:
            asker(slow, model="other")("log_prob", X)
        assert found.value.retry_after == 1
        monkeypatch.setenv("BIJECTA_API_KEY", mine)
        assert asker(None)("log_prob", X).tolist() == [1.0, 0.5]
