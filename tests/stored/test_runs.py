"""Run folders as they were left once: they score as they did, go on, and can be exported."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stored.files import (
    FORMAT_1,
    PAUSED,
    RUNS,
    STUDENTS,
    app,
    bijecta,
    draw_few,
    scores,
    train,
    unpack,
    weights,
)
from tests.stored.replies import check_replies

# Another make of processor adds in another order, so what follows from the same steps is the same
# but for rounding. Where torch, MKL and OpenBLAS were told to do without AVX2 or AVX-512, weights
# moved by 5e-6 at most, and scores by 1e-4 nats (2e-4 of maf-steep, whose float32 is that coarse);
# a step too few moves weights by a learning rate, 1e-2, and so does a moment that was lost.
OF_WEIGHTS, OF_SCORES, NATS = 1e-5, 1e-5, 1e-3

SCORES = json.loads((FORMAT_1 / "scores.json").read_text())

# Their rows come of sines and exponentials, whose last digit is the processor's own: with it goes
# the checksum that a run has of its data.
TOYS = [case for case in RUNS if case.startswith("toy-")]

EVALUATED = [case for case in RUNS if case not in TOYS]


@pytest.fixture(autouse=True)
def _draws_few(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_few(monkeypatch)


def as_before(found: Any, case: str) -> None:
    expected = np.array(SCORES[case])
    np.testing.assert_allclose(found, expected, rtol=OF_SCORES, atol=NATS)


def log(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("case", EVALUATED)
def test_runs_that_ended_score_as_they_did(tmp_path: Path, case: str) -> None:
    run = unpack(case, tmp_path)
    before = (run / "weights.safetensors").read_bytes()
    # the recipe is that of the run, the data is that of the run, and nothing is left to do
    assert "best of" in train(case, run)
    assert (run / "weights.safetensors").read_bytes() == before
    as_before(scores(run), case)
    stored = FORMAT_1 / "runs" / case
    for name in ("evaluation.json", "fidelity.json"):
        assert (run / name).exists() == (stored / name).exists()
    if case in STUDENTS:
        found, expected = (json.loads((r / "fidelity.json").read_text()) for r in (run, stored))
        for key in ("kl_student_teacher", "kl_teacher_student", "teacher_held_out"):
            assert found[key]["mean"] == pytest.approx(expected[key]["mean"], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("case", PAUSED)
def test_runs_that_were_interrupted_end_as_they_would_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    # in the number type of the recipe, which they began in, whatever CPU this is
    monkeypatch.setattr("training.fit.precision._slowdown", lambda _: 1.0)
    run, whole = unpack(case, tmp_path, "paused"), FORMAT_1 / "runs" / case
    train(case, run)
    found, expected = weights(run), weights(whole)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = np.abs(value).max(initial=1.0)
        np.testing.assert_allclose(found[name], value, rtol=0, atol=OF_WEIGHTS * scale)
    as_before(scores(run), case)
    for one, other in zip(log(run), log(whole), strict=True):
        assert one == pytest.approx(other, rel=OF_SCORES, abs=NATS)


@pytest.mark.parametrize("case", TOYS)
def test_toy_densities_are_drawn_and_learned_as_they_were(tmp_path: Path, case: str) -> None:
    run = tmp_path / "runs" / case
    run.parent.mkdir()
    train(case, run)
    as_before(scores(run), case)


@pytest.mark.parametrize("case", ["nice", "maf-context", "maf-image", "wavenet-spline"])
def test_data_may_have_moved(tmp_path: Path, case: str) -> None:
    run = tmp_path / case
    shutil.copytree(FORMAT_1 / "runs" / case, run)
    as_before(scores(run, "--data", FORMAT_1 / "data"), case)


@pytest.mark.parametrize("case", ["maf-context", "student-conditional"])
def test_runs_can_be_exported_again(tmp_path: Path, case: str) -> None:
    run, store = unpack(case, tmp_path), tmp_path / "store"
    if case in STUDENTS:
        shutil.copytree(FORMAT_1 / "store" / STUDENTS[case], store / STUDENTS[case])
    bijecta("export", run, "--store", store, cwd=tmp_path)
    with app(store) as client:
        check_replies(client, case)
        manifest = client.get(f"/models/{case}").json()
    stored = json.loads((FORMAT_1 / "store" / case / "1" / "manifest.json").read_text())
    for key in ("weights_sha256", "data", "event_shape", "base", "context", "preprocessing"):
        assert manifest[key] == stored[key]
    if case in STUDENTS:
        for key in ("teacher", "version", "sha256"):
            assert manifest["distilled"][key] == stored["distilled"][key]
