"""`bijecta export --guess`: a student gives the first guess, and one that cannot is refused."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service import bundle
from tests.helpers.recipes import call_bijecta
from training.distill import fidelity
from training.export.inverse_search import RESIDUAL, search

RECIPE = """
[flow]
family = "iaf"
transforms = 2
hidden = [32, 32]

[distill]
rows = 2048
validation_rows = 500
losses = [{kind = "teacher_path"}]

[fit]
epochs = 3
batch_size = 256
learning_rate = 5e-3
threads = 1
"""


@pytest.fixture(scope="module")
def student(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of moons-maf."""
    folder = tmp_path_factory.mktemp("student")
    (folder / "student.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "ROWS", 600)
        recipe, run = folder / "student.toml", folder / "student"
        done = call_bijecta("distill", runs / "moons-maf", recipe, "--out", run, cwd=runs)
    assert done.returncode == 0, done.stderr
    return run


def decoded(folder: Path, z: np.ndarray[Any, np.dtype[np.float32]]) -> list[Any]:
    session = onnxruntime.InferenceSession(folder / "decode.onnx")
    answers: list[Any] = session.run(["x", "log_prob"], {"z": z})
    return answers


def test_the_guesses_of_a_student_leave_the_answers_what_they_are(
    runs: Path, store: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = itertools.count()
    # what is made last counts as the fastest: the graph with guesses
    monkeypatch.setattr(search, "cost_of", lambda _: 1 / (1 + next(turns)))
    command = ("export", runs / "moons-maf", "--store", tmp_path, "--guess", student)
    done = call_bijecta(*command, cwd=runs)
    assert done.returncode == 0, done.stderr
    assert "sweeps" in done.stdout
    assert "from the guesses of student; without them" in done.stdout
    manifest = bundle.read_flow(tmp_path / "moons-maf" / "1")
    inverse, sweeps = manifest.inverse["decode"], manifest.sweeps["decode"]
    assert (inverse.method, inverse.tolerance) == ("jacobi", RESIDUAL)
    assert inverse.residual <= 1e-4
    assert 1 <= sweeps.median <= sweeps.max <= 2
    assert sweeps.rows == manifest.measured_rows.decode  # type: ignore[union-attr]
    assert sweeps.guess is not None
    assert sweeps.guess.student == "student"
    assert sweeps.guess.sha256 == bundle.sha256(student / "weights.safetensors")
    assert set(sweeps.guess.unguided) == set(inverse.milliseconds)
    assert manifest.sweeps.keys() == {"decode"}
    again = call_bijecta(*command, cwd=runs)
    assert "holds these weights already: --next-version" in again.stdout
    assert bundle.versions(tmp_path / "moons-maf") == [1]
    z = np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32)
    for found, expected in zip(
        decoded(tmp_path / "moons-maf" / "1", z),
        decoded(store / "moons-maf" / "1", z),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_guess_that_makes_nothing_faster_is_left_out(
    runs: Path, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = itertools.count(1)
    monkeypatch.setattr(search, "cost_of", lambda _: float(next(turns)))
    done = call_bijecta(
        "export", runs / "moons-maf", "--store", tmp_path, "--guess", student, cwd=runs
    )
    assert done.returncode == 0, done.stderr
    assert "are not faster here" in done.stderr
    manifest = bundle.read_flow(tmp_path / "moons-maf" / "1")
    assert manifest.inverse["decode"].method == "ordered"
    assert manifest.sweeps == {}


def test_a_guess_makes_no_next_version_of_weights_that_are_there(
    runs: Path, store: Path, student: Path, tmp_path: Path
) -> None:
    shutil.copytree(store / "moons-maf", tmp_path / "moons-maf")
    done = call_bijecta(
        "export", runs / "moons-maf", "--store", tmp_path, "--guess", student, cwd=runs
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"1 holds these weights already, without --guess {student}: " in done.stderr
    assert bundle.versions(tmp_path / "moons-maf") == [1]


Change = Callable[[dict[str, Any], Path], None]


def with_another_preprocessing(run: dict[str, Any], _: Path) -> None:
    run["flow"]["preprocessing"][-1]["mean"] = 5.0


def with_another_family(run: dict[str, Any], _: Path) -> None:
    run["flow"]["family"] = "maf"


def with_another_base(run: dict[str, Any], _: Path) -> None:
    run["flow"]["options"]["base"] = "logistic"


def of_a_fast_teacher(run: dict[str, Any], runs: Path) -> None:
    run["teacher"]["sha256"] = bundle.sha256(runs / "moons-iaf" / "weights.safetensors")


def without_a_teacher(run: dict[str, Any], _: Path) -> None:
    run["teacher"] = None


@pytest.mark.parametrize(
    ("change", "teacher", "options", "message"),
    [
        (without_a_teacher, "moons-maf", (), "has no teacher: `bijecta distill` makes one"),
        (None, "moons-iaf", (), "is one of moons-maf in"),
        (with_another_preprocessing, "moons-maf", (), "has another preprocessing"),
        (with_another_family, "moons-maf", (), "of family 'maf' does not"),
        (with_another_base, "moons-maf", (), "logistic of shape (2,)"),
        (of_a_fast_teacher, "moons-iaf", (), "is for flows that decode value by value"),
        (None, "moons-maf", ("--inverse", "sequential"), "--inverse sequential has none"),
    ],
)
def test_a_student_that_cannot_guess_is_refused_in_one_line(
    runs: Path,
    student: Path,
    tmp_path: Path,
    change: Change | None,
    teacher: str,
    options: tuple[str, ...],
    message: str,
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(student, changed)
    if change is not None:
        run = json.loads((changed / "run.json").read_text())
        change(run, runs)
        (changed / "run.json").write_text(json.dumps(run))
    done = call_bijecta(
        "export",
        runs / teacher,
        "--store",
        tmp_path / "store",
        "--guess",
        changed,
        *options,
        cwd=runs,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_a_folder_without_a_run_is_no_student(runs: Path, tmp_path: Path) -> None:
    done = call_bijecta(
        "export", runs / "moons-maf", "--store", tmp_path, "--guess", tmp_path / "none", cwd=runs
    )
    assert done.returncode == 1
    assert f"no run at {tmp_path / 'none'}" in done.stderr
