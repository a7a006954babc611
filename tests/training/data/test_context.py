"""Conditional flows: columns of context in files and recipes, and what is learned from them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from service.bundle import ContextColumn
from tests.helpers.recipes import recipe_text, write_lifted_moons
from training.config import recipe
from training.config.data import DataSource, data_source
from training.config.recipe import Recipe
from training.data import load as data
from training.data.dataset import Dataset
from training.errors import DataError, RecipeError
from training.fit.gradient import fit
from training.preprocessing import flow_spec
from training.runs.run import Run, RunFile

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2))
AGE = RNG.uniform(20, 80, 400)
KIND = RNG.integers(0, 3, 400)


def write_csv(folder: Path, **columns: Any) -> DataSource:
    table = {"x": X[:, 0], "y": X[:, 1], "age": AGE, **columns}
    lines = [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    (folder / "rows.csv").write_text("\n".join([",".join(table), *lines]))
    return data_source(source=str(folder / "rows.csv"), context=["age"], labels="kind")


def test_context_columns_condition_and_go_with_their_rows(tmp_path: Path) -> None:
    loaded = data.load_dataset(write_csv(tmp_path, kind=KIND * 10))
    assert loaded.event_shape == (2,)
    age, kind = loaded.context
    assert (age.name, age.classes, kind.name, kind.classes) == ("age", None, "kind", [0, 10, 20])
    assert loaded.train.context is not None
    assert age.mean == pytest.approx(loaded.train.context[:, 0].mean())
    assert age.scale == pytest.approx(loaded.train.context[:, 0].std())
    assert (age.low, age.high) == pytest.approx(
        (loaded.train.context[:, 0].min(), loaded.train.context[:, 0].max())
    )
    beside = {x: (a, 10 * k) for x, a, k in zip(X[:, 0].astype(np.float32), AGE, KIND, strict=True)}
    for split in (loaded.train, loaded.validation, loaded.test):
        assert split.context is not None
        assert split.context.dtype == np.float32
        np.testing.assert_allclose(split.context, [beside[x] for x in split.rows[:, 0]], rtol=1e-6)
    without = data.load_dataset(
        data_source(source=str(tmp_path / "rows.csv"), drop=["age", "kind"])
    )
    assert np.array_equal(without.train.rows, loaded.train.rows)  # the same division


def test_labels_are_numbers_or_text_of_any_format(tmp_path: Path) -> None:
    text = np.array(["b", "a", "ü"])[KIND]
    expected = data.load_dataset(write_csv(tmp_path, kind=text))
    kind = expected.context[1]
    assert (kind.classes, kind.labels) == ([0, 1, 2], ["a", "b", "ü"])
    table = pa.table({"x": X[:, 0], "y": X[:, 1], "age": AGE, "kind": text})
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    numbers = np.column_stack([X, AGE])
    np.savez(tmp_path / "rows.npz", X=numbers, kind=text, other=KIND)
    np.savez(tmp_path / "two.npz", X=numbers, kind=text[:, None])
    np.save(tmp_path / "rows.npy", np.column_stack([numbers, KIND]))
    for name, fields in {
        "rows.parquet": {"context": ["age"], "labels": "kind"},
        "rows.npz": {"context": ["2"], "labels": "kind", "key": "X"},
        "two.npz": {"context": ["2"], "labels": "kind"},
        "rows.npy": {"context": ["2"], "labels": "3"},
    }.items():
        found = data.load_dataset(data_source(source=str(tmp_path / name), **fields))
        assert found.train.context is not None
        assert expected.train.context is not None
        np.testing.assert_allclose(found.train.context[:, 0], expected.train.context[:, 0])
        if name == "rows.npy":
            assert found.context[1].classes == [0, 1, 2]
        else:
            assert found.context[1] == kind
            assert np.array_equal(found.train.context, expected.train.context)


TESTED = np.random.default_rng(0).permutation(400)[0]  # a row that is not trained on
NAN_AGE = np.where(AGE > 79, np.nan, AGE)
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "constant": ({"age": np.full(400, 3.5), "kind": KIND}, {}, "'age' is 3.5 in every training"),
    "missing column": ({"kind": KIND}, {"context": ["size"]}, r"no columns \['size'\] for the co"),
    "missing labels": ({"kind": KIND}, {"labels": "sort"}, "no column 'sort' of labels"),
    "nan": (
        {"age": NAN_AGE, "kind": KIND},
        {},
        "column 'age' has no finite float32 number in line",
    ),
    "text": ({"kind": KIND, "age": ["old"] * 400}, {}, "'age' holds string"),
    "one class": ({"kind": np.zeros(400, int)}, {}, "'kind' of labels has 1 classes in 400 rows"),
    "measurements": ({"kind": X[:, 0]}, {}, "holds -[0-9.]*: labels are text or whole numbers"),
    "huge": ({"kind": 2**24 + KIND}, {}, "whole numbers below 16777216"),
    "empty": ({"kind": ["a", "", *["b"] * 398]}, {}, "row 1 has no label in column 'kind'"),
    "rare": ({"kind": np.where(np.arange(400) == TESTED, 7, KIND)}, {}, "class 7 of column 'kind'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_context_is_refused_by_name(tmp_path: Path, case: str) -> None:
    columns, fields, words = REFUSED[case]
    chosen = write_csv(tmp_path, **columns).model_copy(update=fields)
    with pytest.raises(DataError, match=words):
        data.load_dataset(chosen)


def test_too_many_classes_and_labels_of_another_length(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", X=RNG.normal(size=(1500, 2)), y=np.arange(1500), z=np.ones(3))
    source: dict[str, Any] = {"source": str(tmp_path / "rows.npz"), "key": "X"}
    with pytest.raises(DataError, match="1500 classes in 1500 rows, expected 2 to 1000"):
        data.load_dataset(data_source(**source, labels="y"))
    with pytest.raises(DataError, match="1500 rows need a label each, 'z' has"):
        data.load_dataset(data_source(**source, labels="z"))


def test_digits_have_labels_and_may_be_images() -> None:
    flat = data.load_dataset(data_source(source="digits"))
    image = data.load_dataset(data_source(source="digits", labels="digit", shape=[1, 8, 8]))
    assert image.event_shape == (1, 8, 8)
    assert np.array_equal(image.train.rows.reshape(-1, 64), flat.train.rows)
    assert image.context == [ContextColumn(name="digit", classes=list(range(10)))]
    assert image.noisy(image.test.rows, 3, 0).shape == (3, 180, 1, 8, 8)
    noisy, expected = image.noisy(image.test.rows, 2, 5), flat.noisy(flat.test.rows, 2, 5)
    assert np.array_equal(noisy.reshape(expected.shape), expected)
    with pytest.raises(ValueError, match=r"labels\n.*Input should be 'digit'"):
        data_source(source="digits", labels="sort")
    with pytest.raises(DataError, match=r"shape \[3, 8, 8\] has 192 elements, the rows have 64"):
        data.load_dataset(data_source(source="digits", shape=[3, 8, 8]))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('[data]\ncontext = ["a"]\ndrop = ["a"]', "name ['a'] more than once"),
        ('[data]\ncontext = ["a"]\nlabels = "a"', "name ['a'] more than once"),
        ('[data]\ncontext = "a"', "data.context: expected a list"),
        ("[data]\nshape = []", "data.shape: List should have at least 1 item"),
        ("[data]\nshape = [0, 4]", "data.shape.0: expected at least 1"),
        ("embedding = 4", "set labels in [data]"),
        ('embedding = 0\n[data]\nlabels = "a"', "flow.embedding: expected at least 1"),
        ('[fit]\nprecision = "int8"', "fit.precision: expected 'float32', 'bfloat16' or"),
    ],
)
def test_recipes_that_make_no_sense(tmp_path: Path, section: str, words: str) -> None:
    (tmp_path / "wrong.toml").write_text(f'[flow]\nfamily = "maf"\n{section}\n')
    with pytest.raises(RecipeError) as refusal:
        recipe.load_recipe(str(tmp_path / "wrong.toml"), Path("rows.csv"))
    assert words in str(refusal.value)


def trained(folder: Path, **changes: object) -> tuple[Run, Dataset]:
    write_lifted_moons(folder)
    (folder / "moons.toml").write_text(recipe_text("moons-context", epochs=25))
    chosen: Recipe = recipe.load_recipe(str(folder / "moons.toml"))
    chosen.fit = chosen.fit.model_copy(update=changes)
    dataset = data.load_dataset(chosen.data)
    flow = flow_spec(dataset, chosen.flow)
    file = RunFile(name="moons", recipe=chosen, flow=flow, data_sha256=dataset.sha256)
    run = Run.create(folder / "run", file)
    fit(run, dataset, torch.device("cpu"))
    return run, dataset


def test_the_density_is_one_of_each_context_and_follows_it(tmp_path: Path) -> None:
    run, dataset = trained(tmp_path)
    flow = run.best_flow().double()
    assert flow.context_shape == (2,)
    assert dataset.test.context is not None
    test = torch.from_numpy(dataset.test.rows).double()
    context = torch.from_numpy(dataset.test.context).double()
    turned = context * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])  # the other label
    lowered = context - torch.tensor([0.7, 0.0])
    n, edge = 400, 8.0
    axis = (torch.arange(n, dtype=torch.float64) + 0.5) * (2 * edge / n) - edge
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    with torch.no_grad():
        right, wrong, low = (flow.log_prob(test, c).mean() for c in (context, turned, lowered))
        for row in ([0.0, 0.0], [0.0, 1.0], [1.5, 1.0]):
            given = torch.tensor([row], dtype=torch.float64)
            density = flow.log_prob(grid, given.expand(len(grid), 2)).exp()
            assert abs(float(density.sum()) * (2 * edge / n) ** 2 - 1) < 1e-3
        x, _ = flow.sample(
            4000,
            torch.tensor([[1.0, 1.0]], dtype=torch.float64).expand(4000, 2),
            torch.Generator().manual_seed(0),
        )
    assert float(right) > float(wrong) + 1
    assert float(right) > float(low) + 1
    # the upper moon, of mean (0, 2 / π), lifted by one
    assert (x.mean(0) - torch.tensor([0.0, 1 + 2 / np.pi])).abs().max() < 0.15
