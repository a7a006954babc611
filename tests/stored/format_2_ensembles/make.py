"""What made this folder: run once, with the code of the commit that added it.

    PYTHONPATH=. python tests/stored/format_2_ensembles/make.py

It exports an ensemble of two runs of `format_1` and asks it over HTTP. It stands on the names of that
code, so no linter looks at it and no test imports it. Do not run it with later code: the files are
worth having because older code wrote them.
"""

import json
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path

from fastapi.testclient import TestClient

from service.cli import main
from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.stored.files import FORMAT_1, STORED_AT

ENSEMBLES = Path(__file__).parent
RUNS, NAME = ["maf-one", "nsf-ar"], "maf-nsf"


def make(work: Path) -> None:
    (work / "data").symlink_to(FORMAT_1 / "data")
    for name in RUNS:
        run = work / "runs" / name
        shutil.copytree(FORMAT_1 / "runs" / name, run)
        file = run / "run.json"
        file.write_text(file.read_text().replace(STORED_AT, str(work)))
    with chdir(work):
        runs = [f"runs/{name}" for name in RUNS]
        given = ["--store", "store", "--name", NAME, "--weights", "2,3"]
        assert main(["ensemble", *runs, *given]) == 0
    shutil.copytree(work / "store", ENSEMBLES / "store", dirs_exist_ok=True)


def ask() -> None:
    (ENSEMBLES / "answers").mkdir(exist_ok=True)
    with TestClient(create_app(Server(Settings(store=ENSEMBLES / "store", device="cpu")))) as http:
        while http.get("/health/ready").status_code != 200:
            pass
        also = {"model": NAME}
        x = http.post("/sample", json=also | {"n": 6, "seed": 3}).json()["x"]
        encoded = http.post("/encode", json=also | {"x": x}).json()
        z, member = encoded["z"], encoded["member"]
        bodies = [
            ("/log_prob", {"x": x}),
            ("/log_prob", {"x": x, "members": True, "quantile": True}),
            ("/encode", {"x": x}),
            ("/encode", {"x": x, "member": 1}),
            ("/decode", {"z": z, "member": member}),
            ("/decode", {"z": z}),
            ("/sample", {"n": 6, "seed": 3}),
            ("/sample", {"n": 6, "seed": 3, "temperature": 0.5}),
            ("/interpolate", {"start": x[0], "end": x[1], "steps": 4}),
        ]
        said = []
        for path, body in bodies:
            reply = http.post(path, json=also | body)
            one = {"path": path, "body": also | body, "status": reply.status_code}
            said.append(one | {"answer": reply.json()})
        (ENSEMBLES / "answers" / f"{NAME}.json").write_text(json.dumps(said, indent=1))


with tempfile.TemporaryDirectory() as folder:
    make(Path(folder))
ask()
