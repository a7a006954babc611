"""`bijecta fit`: from a table to a model, interrupted, cut short, repeated and refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file

from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.helpers.mixed_tables import mixed_lines, write_mixed
from tests.helpers.recipes import call_bijecta
from training.runs import Run, rows_of
from training.selection import command
from training.selection.candidates import (
    MAX_EPOCHS,
    MIN_EPOCHS,
    TRAINED_VALUES,
    Candidate,
    candidates_of,
)

FIT = {"epochs": 3, "batch_size": 32, "learning_rate": 2e-2, "threads": 1}
SMALL = [
    Candidate("four units", {"hidden": [4], "components": 2}, FIT | {"epochs": 1}),
    Candidate("sixteen units", {"hidden": [16], "components": 3}, FIT),
    Candidate("in reverse", {"hidden": [8], "order": "reverse"}, FIT | {"epochs": 1}),
]


class KilledError(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(autouse=True)
def small_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "candidates_of", lambda *_: SMALL)
    monkeypatch.setattr(command, "granted_cpus", lambda: 1)  # a process of tests cannot fork


def fit(folder: Path, *options: str) -> Any:
    return call_bijecta(
        "fit", "mixed.csv", "--name", "mixed", "--store", "store", *options, cwd=folder
    )


def selection_of(folder: Path) -> dict[str, Any]:
    """What was chosen among what, without the times."""
    selection: dict[str, Any] = json.loads((folder / "runs/mixed/selection.json").read_text())
    for tried in selection["tried"]:
        del tried["seconds"]
    return selection


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, and what the command has made of it."""
    folder = tmp_path_factory.mktemp("fit")
    write_mixed(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "candidates_of", lambda *_: SMALL)
        patch.setattr(command, "granted_cpus", lambda: 1)
        done = fit(folder)
    assert done.returncode == 0, done.stderr
    assert "mixed.csv: 300 rows; 6 columns are modelled: " in done.stdout
    assert "column 'currency': left out: is 'EUR' in every row" in done.stdout
    assert "column 'when': its dates count in log_prob" in done.stdout
    assert "candidate 2 of 3: sixteen units" in done.stdout
    return folder


def test_the_candidate_that_validates_best_is_chosen(fitted: Path) -> None:
    selection = json.loads((fitted / "runs/mixed/selection.json").read_text())
    scores = {each["name"]: each["validation"] for each in selection["tried"]}
    assert list(scores) == [each.name for each in SMALL]
    assert selection["chosen"] == max(scores, key=lambda name: scores[name]) == "sixteen units"
    assert selection["cut"] == []
    assert Run.open(fitted / "runs/mixed").load_state().best_score == max(scores.values())


def test_the_model_is_served(fitted: Path) -> None:
    run = Run.open(fitted / "runs/mixed")
    x = rows_of(run, None).test.rows[:3]
    with torch.no_grad():
        expected = run.best_density().double().log_prob(torch.from_numpy(x))
    manifest = json.loads((fitted / "store/mixed/1/manifest.json").read_text())
    assert manifest["held_out"]["gain"]["mean"] > 0
    assert manifest["raw_values"] == [
        "classes",
        "constants",
        "point_masses",
        "ranges",
        "self_test",
    ]
    server = Server(Settings(store=fitted / "store", device="cpu"))
    with TestClient(create_app(server)) as http:
        while http.get("/health/ready").status_code != 200:
            pass
        rows = [[None if np.isnan(v) else v for v in row] for row in x.tolist()]
        answer = http.post("/log_prob", json={"x": rows}).json()
        np.testing.assert_allclose(answer["log_prob"], expected, rtol=1e-9)
        drawn = http.post("/sample", json={"n": 20, "seed": 1, "records": True}).json()
        again = http.post("/log_prob", json={"rows": drawn["rows"]}).json()
        np.testing.assert_allclose(again["log_prob"], drawn["log_prob"], rtol=1e-9)


def test_the_recipe_that_was_chosen_trains_the_same_weights(fitted: Path, tmp_path: Path) -> None:
    done = call_bijecta(
        "train", fitted / "runs/mixed/recipe.toml", "--out", tmp_path / "again", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    one, other = (
        load_file(folder / "weights.safetensors")
        for folder in (fitted / "runs/mixed", tmp_path / "again")
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_same_command_again_exports_nothing_twice(fitted: Path) -> None:
    done = fit(fitted)
    assert done.returncode == 0, done.stderr
    assert "holds these weights already" in done.stdout
    assert [each.name for each in (fitted / "store/mixed").iterdir()] == ["1"]


def test_an_interrupted_command_goes_on_where_it_was(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mixed(tmp_path)
    steps, real_step = 0, torch.optim.AdamW.step

    def step(self: torch.optim.AdamW) -> None:
        nonlocal steps
        steps += 1
        if steps == 20:  # in the second candidate
            raise KilledError
        real_step(self)

    with monkeypatch.context() as killed:
        killed.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(KilledError):
            fit(tmp_path)
    assert not (tmp_path / "store").exists()
    done = fit(tmp_path)
    assert done.returncode == 0, done.stderr
    assert selection_of(tmp_path) == selection_of(fitted)


SIDE_BY_SIDE = """
import sys
from service.cli import main
from tests.training.selection.test_fit import SMALL
from training.selection import command
command.candidates_of = lambda *_: SMALL
command.granted_cpus = lambda: 2
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one is trained after another")
def test_candidates_side_by_side_are_those_that_are_trained_one_after_another(
    fitted: Path, tmp_path: Path
) -> None:
    write_mixed(tmp_path)
    arguments = ["fit", "mixed.csv", "--name", "mixed", "--store", "store"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "mixed, sixteen units: 100%" in done.stderr
    one, other = (selection_of(folder) for folder in (fitted, tmp_path))
    assert one == other
    for file in ("weights.safetensors", "recipe.toml"):
        assert (fitted / "runs/mixed" / file).read_bytes() == (
            tmp_path / "runs/mixed" / file
        ).read_bytes()


def test_the_clock_cuts_candidates_and_says_which(tmp_path: Path) -> None:
    write_mixed(tmp_path)
    done = fit(tmp_path, "--minutes", "1e-6", "--no-values")
    assert done.returncode == 0, done.stderr
    assert "2 candidates are left out for time: sixteen units; in reverse (" in done.stderr
    manifest = json.loads((tmp_path / "store/mixed/1/manifest.json").read_text())
    assert manifest["raw_values"] == ["classes", "point_masses", "ranges"]
    assert "self_test" not in manifest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "Mixed"], "a bundle's name matches"),
        (["--minutes", "0"], "--minutes"),
        (["--kind", "age=colour"], "colour"),
        (["--drop", "colour"], "colour"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    tmp_path: Path, options: list[str], said: str
) -> None:
    write_mixed(tmp_path)
    done = fit(tmp_path, *options)
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]
    assert not (tmp_path / "store").exists()


def test_a_table_without_a_column_to_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mixed.csv").write_text("a,b\n" + 30 * "1,x\n")
    done = fit(tmp_path)
    assert done.returncode == 1
    assert "has no column to model" in done.stderr


def test_a_run_of_another_command_is_left_alone(tmp_path: Path) -> None:
    write_mixed(tmp_path)
    folder = tmp_path / "runs" / "mixed"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    done = fit(tmp_path)
    assert done.returncode == 1
    assert "holds a run that `bijecta fit` has not made" in done.stderr
    assert (folder / "run.json").read_text() == "{}"


def test_what_would_be_refused_in_the_end_is_refused_before_training(
    fitted: Path, tmp_path: Path
) -> None:
    write_mixed(tmp_path)
    (tmp_path / "file").write_text("")
    write_mixed(fitted, mixed_lines(200), "other.csv")

    def refused(folder: Path, table: str, name: str, store: str) -> str:
        arguments = ("fit", table, "--name", name, "--store", store, "--minutes", "1e-6")
        done = call_bijecta(*arguments, cwd=folder)
        assert done.returncode == 1
        assert "candidate" not in done.stdout
        return str(done.stderr.splitlines()[-1])

    assert "nothing can be written to" in refused(tmp_path, "mixed.csv", "mixed", "file/store")
    assert "runs/mixed is of another table" in refused(fitted, "other.csv", "mixed", "store")
    shutil.copytree(fitted / "store", tmp_path / "store")
    write_mixed(tmp_path, mixed_lines(200), "other.csv")
    said = refused(tmp_path, "other.csv", "mixed", "store")
    assert "store/mixed/1 is of mixed.csv, not of this table: --next-version" in said


def test_columns_that_cannot_be_modelled_are_left_out_and_said(tmp_path: Path) -> None:
    lines = [
        f"{line},{'inf' if i == 3 else i % 7 + 0.25 * (i % 3)}"
        for i, line in enumerate(mixed_lines())
    ]
    (tmp_path / "mixed.csv").write_text(
        "\n".join(["order,when,country,amount,age,fee,by_card,currency,total,odd", *lines]) + "\n"
    )
    done = fit(tmp_path, "--minutes", "1e-6")
    assert done.returncode == 0, done.stderr
    assert "column 'odd': cannot be modelled" in done.stdout
    manifest = json.loads((tmp_path / "store/mixed/1/manifest.json").read_text())
    assert [c["reason"] for c in manifest["left_out"] if c["name"] == "odd"] == ["dropped"]


@pytest.mark.parametrize("rows", [40, 900, 5000, 20_000, 10**6])
@pytest.mark.parametrize("columns", [1, 10, 54])
def test_budgets_bound_the_work_whatever_the_table_is(rows: int, columns: int) -> None:
    for candidate in candidates_of(rows, columns):
        epochs = candidate.fit["epochs"]
        assert MIN_EPOCHS <= epochs <= MAX_EPOCHS
        assert epochs == MIN_EPOCHS or epochs * rows * columns <= TRAINED_VALUES
