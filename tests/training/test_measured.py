"""What is measured of a run is kept, and taken over only if it is of the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from service import bundle
from service.bundle import HeldOut
from training import evaluate
from training.data import Dataset
from training.runs import Run, dataset_of, keep, kept
from training.runs.measured import MEASURED


@pytest.fixture
def copied(runs: Path, tmp_path: Path) -> Callable[[str], Run]:
    """A copy of a trained run by its name."""

    def copy(name: str) -> Run:
        shutil.copytree(runs / name, tmp_path / name)
        return Run.open(tmp_path / name)

    return copy


def nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("rows are scored")

    monkeypatch.setattr(evaluate, "log_prob", refused)


@pytest.mark.parametrize("name", ["moons-maf", "digits-maf"])
def test_after_training_an_export_scores_no_row(
    copied: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = copied(name)
    dataset = dataset_of(run, None)
    nothing_is_scored(monkeypatch)
    evaluation = evaluate.evaluated(run, dataset)
    assert evaluation.model_dump() == json.loads((run.folder / "evaluation.json").read_text())
    calibration = evaluate.held_out_calibration(run, dataset)
    assert calibration["rows"] == len(dataset.test)


def test_what_is_kept_is_what_is_measured(copied: Callable[[str], Run]) -> None:
    for name in ("moons-maf", "digits-maf"):  # without noise, and with
        run = copied(name)
        dataset = dataset_of(run, None)
        before = (
            evaluate.evaluated(run, dataset),
            evaluate.held_out_calibration(run, dataset),
        )
        (run.folder / MEASURED).unlink()
        after = (
            evaluate.evaluated(run, dataset),
            evaluate.held_out_calibration(run, dataset),
        )
        assert before == after


def test_figures_of_other_weights_data_or_options_are_not_taken_over(
    copied: Callable[[str], Run],
) -> None:
    run = copied("moons-maf")
    dataset = dataset_of(run, None)
    first = evaluate.evaluated(run, dataset)
    other = run.file.model_copy(update={"data_sha256": "0" * 64})
    assert (
        kept(Run(run.folder, other), evaluate.EVALUATION, evaluate.evaluation_options(run)) is None
    )
    assert kept(run, evaluate.EVALUATION, {"noise_copies": 1, "seed": -1}) is None
    assert kept(run, "nothing", {}) is None
    weights = {name: value + 0.01 for name, value in load_file(run.weights).items()}
    save_file({k: v.to(torch.float32) for k, v in weights.items()}, run.weights)
    assert evaluate.evaluated(run, dataset) != first


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"evaluation": 3}', b"[" * 100_000, b"\xff"])
def test_a_damaged_file_is_measured_anew(copied: Callable[[str], Run], content: bytes) -> None:
    run = copied("moons-maf")
    dataset: Dataset = dataset_of(run, None)
    before = evaluate.evaluated(run, dataset)
    (run.folder / MEASURED).write_bytes(content)
    assert evaluate.evaluated(run, dataset) == before
    keep(run, "more", {}, 1)
    assert kept(run, "more", {}) == 1


def test_an_export_states_what_is_kept(store: Path, runs: Path) -> None:
    run = Run.open(runs / "digits-maf")
    calibration = evaluate.held_out_calibration(run, dataset_of(run, None))
    manifest = bundle.read_flow(store / "digits-maf" / "1")
    assert manifest.calibration.model_dump() == calibration


def test_where_all_rows_take_long_an_export_scores_a_sample(
    copied: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("moons-maf", "digits-maf", "moons-iaf"):  # without noise, with, and value by value
        which = "STEPWISE" if name == "moons-iaf" else "SAMPLE"
        run = copied(name)
        dataset = dataset_of(run, None)
        whole = evaluate.evaluated(run, dataset), evaluate.held_out_calibration(run, dataset)
        evaluation_file = (run.folder / "evaluation.json").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(evaluate, f"MAX_{which}_FLOPS", 0)
            patch.setattr(evaluate, f"MIN_{which}_ROWS", 100)
            # what is kept of all rows comes first
            assert whole == figures_for_export(run, dataset)
            (run.folder / MEASURED).unlink()
            evaluation, calibration = figures_for_export(run, dataset)
            assert evaluation.rows == calibration["rows"] == 100 < len(dataset.test)
            assert evaluation.log_prob != whole[0].log_prob
            assert abs(evaluation.log_prob - whole[0].log_prob) < 4 * evaluation.se
            assert (run.folder / "evaluation.json").read_bytes() == evaluation_file
            with monkeypatch.context() as counted:
                nothing_is_scored(counted)
                assert figures_for_export(run, dataset) == (evaluation, calibration)
            # and so does what is measured of all rows later
            assert evaluate.evaluate(run, dataset) == whole[0]
            assert evaluate.held_out_calibration(run, dataset) == whole[1]
            assert figures_for_export(run, dataset) == whole


def figures_for_export(run: Run, dataset: Dataset) -> tuple[HeldOut, dict[str, Any]]:
    return (
        evaluate.evaluated(run, dataset),
        evaluate.held_out_calibration(run, dataset, of_sample=True),
    )


def test_a_sample_is_of_rows_and_their_own_context(
    copied: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied("moons-context")
    dataset = dataset_of(run, None)
    monkeypatch.setattr(evaluate, "MAX_SAMPLE_FLOPS", 0)
    monkeypatch.setattr(evaluate, "MIN_SAMPLE_ROWS", 50)
    sample = evaluate._sample(run, dataset)
    assert sample is not None
    test = sample.test
    assert test.indices is not None
    assert dataset.test.indices is not None
    assert len(np.unique(test.indices)) == len(test) == 50
    places = {index: row for row, index in enumerate(dataset.test.indices.tolist())}
    where = [places[index] for index in test.indices.tolist()]
    np.testing.assert_array_equal(dataset.test.rows[where], test.rows)
    assert test.context is not None
    assert dataset.test.context is not None
    np.testing.assert_array_equal(dataset.test.context[where], test.context)
