"""`/docs` comes whole from the package, to whoever asks; a browser looks at it elsewhere."""

import re
from collections import Counter
from pathlib import Path

from starlette.testclient import TestClient

from service.http.app import create_app
from tests.helpers.api_keys import add_key
from tests.helpers.asgi import make_server


def test_what_it_loads_is_here_and_nothing_is_elsewhere(tmp_path: Path) -> None:
    http = TestClient(create_app(make_server(tmp_path, playground=False)))
    index = http.get("/docs")
    assert index.status_code == 200
    assert index.headers["content-security-policy"].startswith("default-src 'self';")
    named = re.findall(r'(?:href|src)="([^"]+)"', index.text)
    assert len(named) > 4
    assert not [name for name in named if "//" in name]
    for name in named:
        answer = http.get(f"/{name}")
        assert answer.status_code == 200, name
        if name.endswith(".js"):
            assert answer.headers["content-type"].startswith("text/javascript")
    assert "validatorUrl: null" in http.get("/docs/docs.js").text
    for path in ("/docs/", "/docs/none.js", "/docs/oauth2-redirect", "/redoc"):
        assert http.get(path).status_code == 404, path


def test_it_takes_no_key(tmp_path: Path) -> None:
    (store := tmp_path / "store").mkdir()
    add_key(tmp_path / "keys.json")
    keyed = TestClient(create_app(make_server(store, keys=tmp_path / "keys.json")))
    for path in ("/docs", "/docs/docs.js", "/openapi.json"):
        assert keyed.get(path).status_code == 200, path


def test_every_operation_says_what_it_does(tmp_path: Path) -> None:
    http = TestClient(create_app(make_server(tmp_path)))
    paths = http.get("/openapi.json").json()["paths"]
    summaries = {
        f"{method} {path}": operation["summary"]
        for path, methods in paths.items()
        for method, operation in methods.items()
    }
    assert len(summaries) > 20
    assert {each: said for each, said in summaries.items() if len(said.split()) < 3} == {}
    twice = [said for said, count in Counter(summaries.values()).items() if count > 1]
    assert twice == []
    for path in ("/decode", "/sample", "/interpolate"):
        assert "its place among the `classes`" in paths[path]["post"]["description"], path
