"""CONTRIBUTING.md is true: each addition touches as many files as it says, and works."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.additions import claimed, copy_with_additions, shown
from tests.helpers.pages import ROOT

RECIPE = """
[data]
source = "rows.jsonl"
[flow]
family = "turned"
base = "laplace"
preprocessing = "asinh"
transforms = 2
hidden = [8]
[fit]
epochs = 2
threads = 1
"""

# Trains, exports, serves and asks; run in the copy.
WORK = """
import json
import numpy as np
from bijecta_client import Client
from fastapi.testclient import TestClient
from service.cli import main
from service.http.app import create_app
from service.server import Server
from service.settings import Settings

rows = np.random.default_rng(0).normal(size=(300, 2)) ** 3
with open("rows.jsonl", "w") as file:
    file.writelines(json.dumps({"x": x, "y": y}) + "\\n" for x, y in rows)
assert main(["inspect", "rows.jsonl"]) == 0
assert main(["train", "my.toml", "--device", "cpu"]) == 0
assert main(["plot", "runs/my", "--kind", "log-probs", "--out", "log-probs.svg"]) == 0
assert "log_prob (nats per row)" in open("log-probs.svg").read()
assert main(["export", "runs/my", "--store", "store"]) == 0
with TestClient(create_app(Server(Settings(store="store", device="cpu")))) as http:
    while http.get("/health/ready").status_code != 200:
        pass
    manifest = http.get("/models/my").json()
    assert (manifest["family"], manifest["base"]) == ("turned", "laplace")
    assert manifest["preprocessing"][0] == {"kind": "asinh"}
    client = Client("http://testserver", "my", http=http)
    z = client.encode(rows[:3]).z
    np.testing.assert_allclose(client.radius(rows[:3]), np.linalg.norm(z, axis=1), rtol=1e-5)
    drawn = client.sample(2000, seed=1, temperature=0.5)
    assert np.isfinite(drawn.log_prob).all()
    # deviations of a Laplace density are the square root of two
    latents = client.encode(client.sample(5000, seed=2).x).z
    np.testing.assert_allclose(latents.std(0), 2**0.5, rtol=0.1)
    accepted = {"Accept": "application/x-ndjson"}
    lines = http.post("/encode", json={"x": rows[:2].tolist()}, headers=accepted)
    assert lines.headers["content-type"] == "application/x-ndjson"
    first, second = map(json.loads, lines.text.splitlines())
    assert list(first) == ["z", "log_prob"]
    np.testing.assert_allclose(first["z"], z[0], rtol=1e-5)
    assert "radius" in http.get("/openapi.json").json()["paths"]["/radius"]["post"]["operationId"]
    counted = 'bijecta_requests_total{code="200",endpoint="radius",model="my"} 1.0'
    assert counted in http.get("/metrics").text
print("all additions work")
"""


def test_each_addition_touches_as_many_files_as_the_table_says() -> None:
    files = shown()
    assert files.keys() == claimed().keys()
    for name, (ours, clients) in claimed().items():
        of_client = [f for f in files[name] if f.startswith("service/client/")]
        assert (len(files[name]) - len(of_client), len(of_client)) == (ours, clients), name


def test_each_addition_fits_the_code_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    copy_with_additions(tmp_path)


@pytest.mark.long
def test_each_addition_works_in_a_copy(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "tests").mkdir(parents=True)
    copy_with_additions(copy)
    work = tmp_path / "work"
    work.mkdir()
    (work / "my.toml").write_text(RECIPE)
    path = os.pathsep.join([str(copy), str(copy / "service" / "client" / "src")])
    environment = os.environ | {"PYTHONPATH": path}

    def run(*command: str, cwd: Path) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    assert "all additions work" in run("-c", WORK, cwd=work)
    # what CONTRIBUTING asks of every change
    shutil.copy(ROOT / "pyproject.toml", copy)
    folders = ["models", "service", "training"]
    run("-m", "ruff", "format", "--check", *folders, cwd=copy)
    run("-m", "ruff", "check", *folders, cwd=copy)
    run("-m", "mypy", *folders, cwd=copy)
