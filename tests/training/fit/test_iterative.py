"""Iterative Gaussianization as it is fitted: the copula it starts as, its stop, its resumption."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from models.flow import Flow
from tests.helpers.recipes import call_bijecta
from tests.helpers.runs import logged
from training import preprocessing as architecture
from training.config import recipe
from training.data import load as data
from training.data.dataset import Dataset
from training.fit import loop
from training.fit.iterative import gaussianize
from training.runs.run import Run, RunFile

CPU = torch.device("cpu")
CORRELATION = 0.8


def gaussian_copula(rows: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of a Gaussian copula with exponential and log-normal marginals, and their log_prob."""
    normal = np.random.default_rng(seed).multivariate_normal(
        [0, 0], [[1, CORRELATION], [CORRELATION, 1]], rows
    )
    first, second = torch.from_numpy(normal).unbind(1)
    x = torch.stack([-torch.special.log_ndtr(-first), torch.exp(0.5 * second)], 1)
    both = torch.distributions.MultivariateNormal(
        torch.zeros(2).double(), torch.tensor([[1, CORRELATION], [CORRELATION, 1]]).double()
    )
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(torch.stack([first, second], 1))
    marginals = torch.stack([-x[:, 0], standard[:, 1] - math.log(0.5) - x[:, 1].log()], 1)
    log_prob = both.log_prob(torch.stack([first, second], 1)) + (marginals - standard).sum(1)
    return x.numpy(), log_prob.numpy()


def write_csv(path: Path, columns: dict[str, NDArray[np.float64]]) -> None:
    table = np.stack(list(columns.values()), 1)
    np.savetxt(path, table, "%.9f", ",", header=",".join(columns), comments="")


Start = Callable[..., tuple[Run, Dataset]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A run that has not begun: a name, a [data] section, options of the flow and of the fit."""

    def begin(name: str, source: str, flow: str = "", fit: str = "") -> tuple[Run, Dataset]:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f"[data]\n{source}\n[flow]\nfamily = 'iterative-gaussianization'\n{flow}\n[fit]\n{fit}"
        )
        chosen = recipe.load_recipe(str(path))
        dataset = data.load_dataset(chosen.data)
        flow_arguments = architecture.flow_spec(dataset, chosen.flow)
        file = RunFile(name=name, recipe=chosen, flow=flow_arguments, data_sha256=dataset.sha256)
        return Run.create(tmp_path / name, file), dataset

    return begin


def encoded(run: Run, rows: NDArray[np.float32]) -> tuple[Flow, torch.Tensor, torch.Tensor]:
    flow = run.best_flow()
    with torch.no_grad():
        return flow, *flow.encode(torch.from_numpy(rows))


def test_one_step_without_rotation_is_the_gaussian_copula(start: Start, tmp_path: Path) -> None:
    x, _ = gaussian_copula(40_000)
    write_csv(tmp_path / "x.csv", {"first": x[:, 0], "second": x[:, 1]})
    source, flow = f"source = '{tmp_path / 'x.csv'}'", "transforms = 1\nrotation = 'none'"
    run, dataset = start("copula", source, flow)
    assert gaussianize(run, dataset, CPU).best_epoch == 1
    fresh, true = gaussian_copula(20_000, seed=1)
    _, z, found = encoded(run, fresh.astype(np.float32))
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.05)
    lost = true - found.numpy()
    # Kullback-Leibler divergence of the fit from the truth, by the truth's own samples
    assert lost.mean() == pytest.approx(0, abs=4 * lost.std() / math.sqrt(len(lost)) + 0.02)
    # the correlation is worth −½ log(1 − ρ²) nats; without it, the marginals alone would remain
    assert lost.mean() < -0.5 * math.log(1 - CORRELATION**2) / 10


@pytest.mark.parametrize(
    ("options", "is_copula"),
    [
        ("transforms = 1\nrotation = 'none'", True),
        ("transforms = 1\nrotation = 'pca'", False),
        ("transforms = 2\nrotation = 'none'", False),
    ],
)
def test_train_says_when_it_fits_the_gaussian_copula(
    tmp_path: Path, options: str, is_copula: bool
) -> None:
    (tmp_path / "wine.toml").write_text(
        "[data]\nsource = 'moons'\nrows = 2000\n"
        f"[flow]\nfamily = 'iterative-gaussianization'\n{options}"
    )
    done = call_bijecta("train", "wine.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("Gaussian copula" in done.stdout) == is_copula


def test_stops_when_held_out_rows_score_no_better_and_keeps_the_best_steps(start: Start) -> None:
    run, dataset = start("moons", "source = 'moons'\nrows = 1000", fit="patience = 4")
    progress = gaussianize(run, dataset, CPU)
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    scores = [line["validation"] for line in lines]
    assert progress.best_score == max(scores) == scores[progress.best_epoch - 1]
    assert 1 < progress.best_epoch == progress.epoch - 4 < 96
    # what is kept is what was scored
    _, _, log_prob = encoded(run, dataset.validation.rows)
    assert float(log_prob.mean()) == pytest.approx(progress.best_score, abs=1e-4)


def test_an_interrupted_fit_ends_as_if_it_had_not_been(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    moons, flow = "source = 'moons'\nrows = 1000", "transforms = 6\nrotation = 'random'"
    (whole, dataset), (broken, _) = (start(name, moons, flow) for name in ("whole", "broken"))
    gaussianize(whole, dataset, CPU)

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    log = Run.log

    def killed(self: Run, line: dict[str, float]) -> None:
        log(self, line)
        if line["step"] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(Run, "log", killed)
        with pytest.raises(KeyboardInterrupt):
            gaussianize(broken, dataset, CPU)
    assert gaussianize(Run.open(broken.folder), dataset, CPU).finished
    one, other = (load_file(run.folder / "weights.safetensors") for run in (whole, broken))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert logged(whole) == logged(broken)


def test_a_state_without_weights_beside_it_has_the_best_steps(start: Start) -> None:
    """As runs were left by the code of before: weights were written at the end alone."""
    run, dataset = start("moons", "source = 'moons'\nrows = 1000", "transforms = 8")
    progress = gaussianize(run, dataset, CPU)
    path = run.folder / "weights.safetensors"
    expected = load_file(path)
    path.unlink()
    assert gaussianize(Run.open(run.folder), dataset, CPU) == progress
    found = load_file(path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], values) for name, values in expected.items())


def test_context_moves_and_scales_what_is_fitted(start: Start, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    at = rng.uniform(-2, 2, 10_000)
    noise = rng.laplace(size=(2, len(at)))
    rows = {"x": 3 * at + np.exp(0.5 * at) * noise[0], "y": noise[1] - at, "at": at}
    write_csv(tmp_path / "at.csv", rows)
    source = f"source = '{tmp_path / 'at.csv'}'\ncontext = ['at']"
    run, dataset = start("at", source, "transforms = 5")
    best = gaussianize(run, dataset, CPU).best_score
    # a Laplace distribution's entropy is 1 + log 2 nats; exp(at / 2) has a mean logarithm of 0
    assert best == pytest.approx(-2 * (1 + math.log(2)), abs=0.06)


def test_points_at_eight_sigma_are_told_apart(start: Start) -> None:
    run, dataset = start("moons", "source = 'moons'\nrows = 2000", "transforms = 3")
    gaussianize(run, dataset, CPU)
    rows = torch.full((64, 2), 0.25)
    deviation = float(dataset.train.rows.std())
    for sign in (-1, 1):
        far = sign * 8 * deviation
        rows[:, 0] = 0.5 + far * (1 + torch.arange(64) * 2.0**-20)
        _, z, log_prob = encoded(run, rows.numpy())
        assert len(torch.unique(z, dim=0)) == 64
        assert torch.isfinite(log_prob).all()
