"""Versions asked for by an alias, on every route and by the client."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response

from bijecta_client import Client, RefusedError
from service.bundle import NAMES
from service.cli import main
from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from service.store_folder import roll_back, set_alias
from tests.helpers.http import NPY, assert_problem, metric, to_npy
from tests.helpers.limited import asked, x
from tests.helpers.servers import Serve
from tests.helpers.tiny import write_tiny_bundle
from tests.helpers.waiting import wait_until

NAME = "wine"
ROWS = [[1.0, 2.0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of a model in three versions, the last of which was taken back; 1 is stable."""
    for version in (1, 2, 3):
        write_tiny_bundle(tmp_path, NAME, version)
    roll_back(tmp_path, NAME, None)
    set_alias(tmp_path, NAME, "stable", 1)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Server:
    return Server(Settings(store=folder, device="cpu", default_model=f"{NAME}@stable"))


@pytest.fixture
def http(server: Server) -> Iterator[TestClient]:
    with TestClient(create_app(server)) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield client


def test_answers_say_the_real_name_and_version(http: TestClient) -> None:
    for reference, version in {f"{NAME}@stable": 1, NAME: 2, None: 1}.items():
        answer = http.post("/log_prob", json={"model": reference, "x": ROWS}).json()
        assert answer == {"model": NAME, "version": version, "log_prob": [3.0]}
        query = {} if reference is None else {"model": reference}
        kind = {"content-type": NPY}
        npy = http.post(
            "/encode", content=to_npy(np.array(ROWS, np.float32)), params=query, headers=kind
        )
        assert npy.headers["x-bijecta-model"] == NAME
        assert npy.headers["x-bijecta-version"] == str(version)
    assert metric(http, "bijecta_request_rows_sum", model=NAME) == 6


def test_the_protocol_takes_an_alias_in_a_path(http: TestClient) -> None:
    for suffix, source in {"": "x", ".decode": "z"}.items():
        for quoted in ("@", "%40"):
            path = f"/v2/models/{NAME}{quoted}stable{suffix}"
            answer = http.post(f"{path}/infer", content=asked(x(name=source))).json()
            assert (answer["model_name"], answer["model_version"]) == (f"{NAME}{suffix}", "1")
            assert http.get(f"{path}/ready").status_code == 200
        described = http.get(path).json()
        assert described["name"] == f"{NAME}{suffix}"
        assert described["versions"] == ["1", "2", "3"]
        assert http.get(f"{path}/config").json()["name"] == f"{NAME}{suffix}"
        (statistics,) = http.get(f"{path}/stats").json()["model_stats"]
        assert (statistics["name"], statistics["version"]) == (f"{NAME}{suffix}", "1")
    twice = http.post(f"/v2/models/{NAME}@stable/versions/1/infer", content=asked(x()))
    assert twice.status_code == 400
    assert "leave out version 1" in twice.json()["error"]
    assert http.get(f"/v2/models/{NAME}@other").status_code == 404


def test_lists_have_aliases_and_what_was_taken_back(
    http: TestClient, server: Server, folder: Path
) -> None:
    (folder / NAME / NAMES).write_text("damaged")
    assert http.portal is not None
    http.portal.call(server.store.refresh)
    listed = http.get("/models").json()
    assert listed["default"] == f"{NAME}@stable"
    (model,) = listed["models"]
    assert (model["name"], model["version"], model["versions"]) == (NAME, 2, [1, 2, 3])
    assert (model["aliases"], model["withdrawn"]) == ({"stable": 1}, [3])
    (refused,) = listed["refused_names"]
    assert refused["name"] == NAME
    assert refused["reason"].startswith(f"{NAME}/{NAMES} is damaged: ")
    for path, version in {NAME: 2, f"{NAME}@stable": 1, f"{NAME}?version=3": 3}.items():
        manifest = http.get(f"/models/{path}").json()
        assert (manifest["name"], manifest["version"]) == (NAME, version)
        assert (manifest["aliases"], manifest["withdrawn"]) == ({"stable": 1}, [3])
        assert manifest["provider"] == "CPUExecutionProvider"


def test_what_no_alias_means_is_refused_naming_what_there_is(http: TestClient) -> None:
    def ask(**body: object) -> Response:
        answer: Response = http.post("/log_prob", json={"x": ROWS, **body})
        return answer

    assert_problem(ask(model=f"{NAME}@other"), 404, "'wine' has no alias 'other': there are stable")
    assert_problem(ask(model="beer@stable"), 404, "no model 'beer@stable': there are wine")
    assert_problem(ask(model=f"{NAME}@stable", version=1), 422, "leave out version 1")
    assert_problem(ask(model=f"{NAME}@{'a' * 1000}"), 404, "has no alias")
    assert_problem(http.get(f"/models/{NAME}@other"), 404, "there are stable")


@pytest.mark.parametrize(
    ("default", "words"),
    [("beer@stable", "is none of wine"), (f"{NAME}@no", "is no alias of wine")],
)
def test_a_default_that_means_nothing_is_said_at_the_start(
    folder: Path, default: str, words: str
) -> None:
    server = Server(Settings(store=folder, device="cpu", default_model=default))
    with TestClient(create_app(server)):
        wait_until(lambda: server.polling.failure is not None)
    assert words in str(server.polling.failure)


def test_commands_reach_a_server_that_looks_and_its_client(folder: Path, serve: Serve) -> None:
    served = serve("--store", folder, "--poll-seconds", "0.1")
    options = ["--store", str(folder)]
    with Client(str(served.client.base_url), f"{NAME}@stable") as client:
        assert client.model()["version"] == 1
        assert client.log_prob(ROWS).tolist() == [3.0]
        assert client.decode(ROWS).x.tolist() == ROWS
        assert main(["store", "alias", f"{NAME}@stable", "3", *options]) == 0
        wait_until(lambda: client.model()["version"] == 3)
        assert client.model(NAME)["version"] == 2
        assert main(["store", "rollback", NAME, *options]) == 0
        wait_until(lambda: client.model(NAME)["version"] == 1)
        assert main(["store", "alias", f"{NAME}@stable", "--remove", *options]) == 0
        wait_until(lambda: client.models()["models"][0]["aliases"] == {})
        with pytest.raises(RefusedError, match="has no alias 'stable'"):
            client.log_prob(ROWS)
        assert main(["store", "prune", "--keep", "1", "--yes", *options]) == 0
        wait_until(lambda: client.models()["models"][0]["versions"] == [1, 3])


def test_one_bundle_is_served_by_its_folder(folder: Path) -> None:
    server = Server(Settings(store=folder / NAME / "3", device="cpu"))
    with TestClient(create_app(server)) as http:
        wait_until(lambda: http.get("/health/ready").status_code == 200)
        assert http.post("/log_prob", json={"model": NAME, "x": ROWS}).json()["version"] == 3
        assert http.get("/models").json()["models"][0]["versions"] == [3]
