"""What a flow says of data does not depend on the units of the data."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from training.config.data import data_source
from training.config.flow import FlowRecipe
from training.data.dataset import Dataset
from training.data.load import load_dataset
from training.preprocessing import flow_spec

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(2000, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1]])


def loaded(folder: Path, rows: np.ndarray, **keys: object) -> Dataset:
    np.save(folder / "rows.npy", rows)
    return load_dataset(data_source(source=str(folder / "rows.npy"), **keys))


def scores(dataset: Dataset, preprocessing: str) -> torch.Tensor:
    recipe = FlowRecipe.model_validate(
        {"family": "maf", "preprocessing": preprocessing, "hidden": [8], "transforms": 2}
    )
    torch.manual_seed(0)
    flow = flow_spec(dataset, recipe).build()
    with torch.no_grad():
        return flow.log_prob(torch.from_numpy(dataset.test.rows))


@pytest.mark.parametrize("exponent", [-60, -20, 40])
@pytest.mark.parametrize("preprocessing", ["standardize", "whiten", "normal-marginals", "logit"])
def test_scores_move_by_the_logarithm_of_the_unit(
    tmp_path: Path, preprocessing: str, exponent: int
) -> None:
    keys = {"bounds": [-16.0, 16.0]} if preprocessing == "logit" else {}
    scaled_keys = {"bounds": [-(2.0 ** (4 + exponent)), 2.0 ** (4 + exponent)]} if keys else {}
    scaled = loaded(tmp_path, ROWS * 2.0**exponent, **scaled_keys)
    found = scores(scaled, preprocessing)
    expected = scores(loaded(tmp_path, ROWS, **keys), preprocessing) - 3 * exponent * math.log(2)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_quantiles_find_the_marginals_whatever_one_row_holds(tmp_path: Path, far: float) -> None:
    rows = ROWS.copy()
    plain = scores(loaded(tmp_path, rows), "normal-marginals")
    train = loaded(tmp_path, rows).train.indices
    assert train is not None
    rows[train[0], 0] = far
    moved = scores(loaded(tmp_path, rows), "normal-marginals")
    assert abs(float(moved.mean() - plain.mean())) < 0.05
