"""The server that KServe's runtime starts answers for the one bundle that KServe mounts."""

import pytest
from fastapi.testclient import TestClient

from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.helpers.manifests import DEPLOY, environment_of, parse
from tests.helpers.pages import ROOT

BUNDLE = ROOT / "tests" / "stored" / "format_1" / "store" / "maf" / "1"


def test_a_bundle_at_the_mount_answers_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DEPLOY / "kserve" / "serving-runtime.yaml").read_text()
    (runtime,) = parse([text]).values()
    variables = environment_of(runtime)
    assert variables["BIJECTA_STORE"] == "/mnt/models"  # where KServe puts what storageUri names
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BIJECTA_STORE", str(BUNDLE))
    monkeypatch.setenv("BIJECTA_DEVICE", "cpu")
    server = Server(Settings())
    with TestClient(create_app(server)) as client:
        while client.get("/v2/health/ready").status_code != 200:
            assert server.polling.failure is None
        (name,) = server.store.entries
        described = client.get(f"/v2/models/{name}").json()
        (tensor,) = described["inputs"]
        shape = [2, *tensor["shape"][1:]]
        asked = {"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape}
        numbers = [0.25] * (shape[0] * shape[1])
        answer = client.post(
            f"/v2/models/{name}/infer", json={"inputs": [asked | {"data": numbers}]}
        )
    assert answer.status_code == 200, answer.text
    (log_prob,) = [each for each in answer.json()["outputs"] if each["name"] == "log_prob"]
    assert log_prob["shape"] == [2]
