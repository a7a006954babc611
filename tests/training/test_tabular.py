"""Densities over tables of columns of any kind: trained, interrupted, resumed and evaluated."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file

from models import zoo
from service import tables
from service.http.app import create_app
from service.server import Server
from service.settings import Settings
from tests.helpers.mixed_tables import mixed_lines, write_mixed, write_recipe
from tests.helpers.recipes import call_bijecta
from tests.helpers.runs import logged
from training import scoring
from training.config import FitRecipe, TabularSpec, load_recipe
from training.data import load_rows, typed
from training.errors import NonFiniteError, RunError
from training.fit import fit, loop
from training.fit.likelihood import Likelihood
from training.runs import Run, open_or_create, rows_of


class KilledError(Exception):
    """Stands for whatever ends a process."""


def decide_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(*_: object) -> tables.Decision:
        raise AssertionError("the columns of a run are decided once")

    monkeypatch.setattr(typed, "decide", decide)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a mixed table, a recipe and its run."""
    folder = tmp_path_factory.mktemp("tabular")
    write_mixed(folder)
    write_recipe(folder)
    done = call_bijecta("train", "mixed.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "mixed.csv: column 'currency' is left out: is 'EUR' in every row" in done.stderr
    assert "mixed: independent columns score" in done.stdout
    return folder


def test_a_run_is_better_than_independent_columns_and_says_by_how_much(trained: Path) -> None:
    run = Run.open(trained / "runs" / "mixed")
    dataset = rows_of(run, None)
    done = call_bijecta("evaluate", run.folder, "--scores", "scores.parquet", cwd=trained)
    assert done.returncode == 0, done.stderr
    figures = json.loads((run.folder / "evaluation.json").read_text())
    scores = pyarrow.parquet.read_table(trained / "scores.parquet").to_pydict()
    gain = np.subtract(scores["log_prob"], scores["independent"])
    independent = figures["independent"]
    assert figures["rows"] == len(gain) == 30
    assert figures["log_prob"] == pytest.approx(np.mean(scores["log_prob"]))
    assert independent["log_prob"] == pytest.approx(np.mean(scores["independent"]))
    assert independent["gain"] == pytest.approx(gain.mean())
    assert independent["gain_se"] == pytest.approx(gain.std(ddof=1) / 30**0.5)
    assert independent["gain"] > 2 * independent["gain_se"]
    # the network's output aside, they are the densities of each column alone
    assert isinstance(run.file.flow, TabularSpec)
    assert run.file.flow.rows == len(dataset.train)
    x = torch.from_numpy(dataset.test.rows)
    alone = [
        zoo.build_tabular([column], run.file.flow.rows, options={"components": 3})
        for column in run.file.flow.fitted
    ]
    with torch.no_grad():
        product = sum(each.log_prob(x[:, [i]]) for i, each in enumerate(alone))
    np.testing.assert_allclose(scores["independent"], product, rtol=1e-9)


def test_an_interrupted_run_ends_as_if_it_had_not_been(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    steps, real_step = 0, torch.optim.AdamW.step

    def step(self: torch.optim.AdamW) -> None:
        nonlocal steps
        steps += 1
        if steps == 20:  # in the middle of the third epoch
            raise KilledError
        real_step(self)

    arguments = ("train", "mixed.toml", "--out", tmp_path / "broken", "--name", "mixed")
    with monkeypatch.context() as killed:
        killed.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(KilledError):
            call_bijecta(*arguments, cwd=trained)
    decide_no_more(monkeypatch)
    done = call_bijecta(*arguments, cwd=trained)
    assert done.returncode == 0, done.stderr
    whole, broken = Run.open(trained / "runs" / "mixed"), Run.open(tmp_path / "broken")
    for file in ("weights.safetensors", "state.safetensors"):
        one, other = (load_file(run.folder / file) for run in (whole, broken))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert logged(whole) == logged(broken)
    assert whole.file == broken.file


def test_another_recipe_or_table_in_the_folder_of_a_run_is_refused(
    trained: Path, tmp_path: Path
) -> None:
    run = trained / "runs" / "mixed"
    write_recipe(tmp_path, 'kinds = { age = "numeric" }', source=str(trained / "mixed.csv"))
    other = call_bijecta("train", tmp_path / "mixed.toml", "--out", run, cwd=trained)
    assert other.returncode == 1
    assert "holds a run of another recipe" in other.stderr
    shorter = write_mixed(tmp_path, mixed_lines()[:200])
    other = call_bijecta("evaluate", run, "--data", shorter, cwd=trained)
    assert other.returncode == 1
    assert "is not the data of" in other.stderr
    moved = write_mixed(tmp_path, name="elsewhere.csv")
    done = call_bijecta("evaluate", run, "--data", moved, cwd=trained)
    assert done.returncode == 0, done.stderr


def test_distillation_and_inverses_are_of_flows(trained: Path) -> None:
    for arguments in (
        ("distill", "runs/mixed", "mixed.toml"),
        ("export", "runs/mixed", "--store", "store", "--inverse", "jacobi"),
    ):
        refused = call_bijecta(*arguments, cwd=trained)
        assert refused.returncode == 1
        assert "is of family 'tabular'" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    with pytest.raises(RunError, match="only flows of numbers are distilled"):
        Run.open(trained / "runs" / "mixed").best_flow()


def test_a_class_label_conditions_the_density(tmp_path: Path) -> None:
    lines = [",".join(line.split(",")[i] for i in (2, 3)) for line in mixed_lines(200)]
    (tmp_path / "pairs.csv").write_text("\n".join(["country,amount", *lines]) + "\n")
    write_recipe(tmp_path, 'labels = "country"', "embedding = 2", "pairs.csv", epochs=8)
    done = call_bijecta("train", "mixed.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "runs" / "mixed")
    x = torch.full((3, 1), 50.0, dtype=torch.float64)
    with torch.no_grad():
        log_prob = run.best_density().log_prob(x, torch.tensor([[0.0], [1.0], [2.0]]))
    # amounts of 50 are usual in US, the last label, and seven times those of the others
    assert log_prob[2] > log_prob[:2].max() + 1


def test_a_transformer_over_columns_is_trained_exported_and_asked(tmp_path: Path) -> None:
    write_mixed(tmp_path)
    write_recipe(tmp_path, 'labels = "country"', epochs=8, family="tabular-transformer")
    done = call_bijecta("train", "mixed.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = Run.open(tmp_path / "runs" / "mixed")
    figures = json.loads((run.folder / "evaluation.json").read_text())["independent"]
    assert figures["gain"] > 2 * figures["gain_se"]
    done = call_bijecta("export", run.folder, "--store", "store", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    server = Server(Settings(store=tmp_path / "store", device="cpu"))
    with TestClient(create_app(server)) as http:
        while http.get("/health/ready").status_code != 200:
            pass
        assert http.get("/models/mixed").json()["family"] == "tabular-transformer"
        body = {"n": 20, "seed": 1, "context": [["US"]] * 20, "records": True}
        drawn = http.post("/sample", json=body).json()
        body = {"rows": drawn["rows"], "context": [["US"]] * 20}
        again = http.post("/log_prob", json=body).json()
    np.testing.assert_allclose(again["log_prob"], drawn["log_prob"], rtol=1e-9)
    amounts = [row["amount"] for row in drawn["rows"]]
    assert np.median(amounts) > 20  # as in US, and seven times those of others


def test_a_run_that_learns_nothing_of_the_columns_together_says_so(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    np.save(tmp_path / "noise.npy", rows)
    write_recipe(tmp_path, source="noise.npy", epochs=1)
    done = call_bijecta("train", "mixed.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "it does not beat them" in done.stderr


def test_a_small_table_has_small_batches_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).normal(size=(60, 2)))
    recipe = load_recipe(str(write_recipe(tmp_path, source="noise.npy")))
    dataset = load_rows(recipe.data, typed=True)
    assert open_or_create(tmp_path / "said", "said", recipe, dataset).file.recipe == recipe
    silent = recipe.model_copy(update={"fit": FitRecipe(epochs=1)})
    for _ in range(2):  # made, and opened again
        run = open_or_create(tmp_path / "silent", "silent", silent, dataset)
        assert run.file.recipe.fit.batch_size == 64


def test_a_damaged_run_is_refused_in_one_line(trained: Path, tmp_path: Path) -> None:
    content = json.loads((trained / "runs" / "mixed" / "run.json").read_text())
    for path, value, words in (
        (("columns", "modelled", 1, "classes"), [], "classes"),
        (("fitted", 1, "kind"), "lattice", "fitted columns of kinds"),
        (("fitted", 2, "warp"), {}, "a warp has at least 3 knots"),
        (("rows",), 0, "rows"),
        (("family",), "tubular", "family"),
    ):
        damaged = json.loads(json.dumps(content))
        part = damaged["flow"]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        (tmp_path / "run.json").write_text(json.dumps(damaged))
        with pytest.raises(RunError, match=f"is damaged: .*{words}") as refused:
            Run.open(tmp_path).new_density()
        assert "\n" not in str(refused.value)


def test_batches_are_the_same_whether_all_rows_fit_into_memory_or_not(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(trained / "runs" / "mixed")
    dataset, flow, fit = rows_of(run, None), run.best_density(), run.file.recipe.fit
    once = Likelihood(flow, dataset, fit)
    monkeypatch.setattr(scoring, "MAX_PREPARED_BYTES", 1000)
    each_time = Likelihood(flow, dataset, fit)
    assert once.prepared is not None
    assert each_time.prepared is each_time.prepared_validation is None
    some = torch.tensor([7, 0, 100])
    batches = [objective.batch(some, 0.0)[0] for objective in (once, each_time)]
    torch.testing.assert_close(*batches, rtol=0, atol=0, equal_nan=True)
    assert once.score(flow) == each_time.score(flow)


def test_the_batch_of_a_step_that_is_refused_is_kept_as_its_rows_were(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run.open(trained / "runs" / "mixed")
    dataset = rows_of(whole, None)
    run = open_or_create(trained / "refused", "refused", whole.file.recipe, dataset)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.nan))
    with pytest.raises(NonFiniteError, match="the gradient's norm is nan"):
        fit(run, dataset, torch.device("cpu"))
    refused = load_file(run.folder / "refused-0.safetensors")
    np.testing.assert_array_equal(refused["x"], dataset.train.rows[refused["rows"]])
