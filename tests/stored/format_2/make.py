"""What made this folder: run once, with the code of the commit that added it.

    PYTHONPATH=. python tests/stored/format_2/make.py

It trains two models of a small table of columns of every kind, exports them and asks them over
HTTP. It stands on the names of that code, so no linter looks at it and no test imports it. Do not
run it with later code: the files are worth having because older code wrote them.
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
from tests.helpers.mixed_tables import write_mixed, write_recipe

FORMAT_2 = Path(__file__).parent

# what stands in the files for the folder that they were made in
STORED_AT = "/stored"

# what each model is conditioned on
MODELS = {"mixed": "", "mixed-context": 'labels = "country"'}


def make(work: Path) -> None:
    for name, data in MODELS.items():
        write_mixed(work)
        recipe = write_recipe(work, data)
        recipe.rename(work / f"{name}.toml")
        with chdir(work):
            assert main(["train", f"{name}.toml", "--device", "cpu"]) == 0
            assert main(["evaluate", f"runs/{name}", "--scores", f"{name}.parquet"]) == 0
            assert main(["export", f"runs/{name}", "--store", "store"]) == 0
    shutil.copy(work / "mixed.csv", FORMAT_2)
    shutil.copytree(work / "store", FORMAT_2 / "store", dirs_exist_ok=True)
    for name in MODELS:
        run = FORMAT_2 / "runs" / name
        run.mkdir(parents=True, exist_ok=True)
        for file in ("run.json", "weights.safetensors", "evaluation.json"):
            shutil.copy(work / "runs" / name / file, run)
        text = (run / "run.json").read_text().replace(str(work.resolve()), STORED_AT)
        (run / "run.json").write_text(text)


def ask() -> None:
    (FORMAT_2 / "answers").mkdir(exist_ok=True)
    with TestClient(create_app(Server(Settings(store=FORMAT_2 / "store", device="cpu")))) as http:
        while http.get("/health/ready").status_code != 200:
            pass
        for name in MODELS:
            also = {"model": name} | ({"context": [["DE"]]} if "context" in name else {})
            drawn = {"n": 5, "seed": 3, "records": True}
            rows = http.post("/sample", json=also | drawn).json()["rows"]
            x = http.post("/sample", json=also | {"n": 5, "seed": 3}).json()["x"]
            z = http.post("/encode", json=also | {"x": x, "seed": 1}).json()["z"]
            columns = {key: [row[key] for row in rows] for key in rows[0]}
            bodies = [
                ("/log_prob", {"rows": rows}),
                ("/log_prob", {"columns": columns}),
                ("/log_prob", {"x": x}),
                ("/log_prob", {"rows": [{**rows[0], "colour": "red"}]}),
                ("/log_prob", {"rows": [{**rows[0], "amount": "much"}]}),
                ("/encode", {"rows": rows}),
                ("/encode", {"x": x, "seed": 1}),
                ("/decode", {"z": z}),
                ("/decode", {"z": z, "records": True}),
                ("/sample", drawn),
                ("/sample", {"n": 5, "seed": 3, "temperature": 0.5}),
                ("/interpolate", {"start": rows[0], "end": rows[1], "steps": 4}),
            ]
            said = []
            for path, body in bodies:
                reply = http.post(path, json=also | body)
                one = {"path": path, "body": also | body, "status": reply.status_code}
                said.append(one | {"answer": reply.json()})
            (FORMAT_2 / "answers" / f"{name}.json").write_text(json.dumps(said, indent=1))


with tempfile.TemporaryDirectory() as folder:
    make(Path(folder))
ask()
