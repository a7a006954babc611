"""Tables of columns of any kind: their rows, their division, and what is refused."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import zoo
from service.tables import CategoricalColumn
from tests.helpers.mixed_tables import mixed_lines, write_mixed, write_recipe
from training.config import TYPED_FAMILIES, data_source, load_recipe
from training.config.sources import TypedSource
from training.data import TypedDataset, load_typed
from training.errors import DataError, RecipeError
from training.preprocessing import fit_columns


def load(path: Path, **keys: object) -> TypedDataset:
    source = data_source(source=str(path), **keys)
    assert isinstance(source, TypedSource)
    return load_typed(source)


def test_rows_are_float64_with_gaps_and_codes_and_each_column_left_out_is_said(
    tmp_path: Path,
) -> None:
    dataset = load(write_mixed(tmp_path))
    names = [column.name for column in dataset.columns.modelled]
    assert names == ["when", "country", "amount", "age", "fee", "by_card"]
    said = [note for note in dataset.notes if "is left out" in note]
    assert {note.split("'")[1] for note in said} == {"order", "currency", "total"}
    assert len(said) == 3
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [240, 30, 30]
    country, card = dataset.columns.modelled[1], dataset.columns.modelled[5]
    assert isinstance(country, CategoricalColumn)
    assert isinstance(card, CategoricalColumn)
    lines = mixed_lines()
    for split in splits:
        assert split.rows.dtype == np.float64
        assert split.indices is not None
        for row, index in zip(split.rows, split.indices, strict=True):
            cells = lines[index].split(",")
            assert country.classes[int(row[1])] == cells[2]
            assert row[2] == float(cells[3])
            assert row[3] == float(cells[4]) if cells[4] else np.isnan(row[3])
            assert card.classes[int(row[5])] == (cells[6] == "true")
    assert dataset.test.indices is not None
    assert dataset.place_of(dataset.test, 0) == f"line {dataset.test.indices[0] + 2}"


def test_equal_rows_are_divided_together_unless_most_rows_repeat_by_nature(tmp_path: Path) -> None:
    dataset = load(write_mixed(tmp_path, mixed_lines(100) * 3), drop=["order"])
    held_out = np.concatenate([dataset.validation.rows, dataset.test.rows])
    trained = {row.tobytes() for row in dataset.train.rows}
    assert not any(row.tobytes() in trained for row in held_out)
    assert any("divided together" in note for note in dataset.notes)
    # each row twice, beside each other, with a number of its own
    twice = [line for line in mixed_lines(200) for _ in range(2)]
    lines = [f"{i}{line[line.index(',') :]}" for i, line in enumerate(twice)]
    dataset = load(write_mixed(tmp_path, lines))
    assert "order" in {column.name for column in dataset.columns.left_out}
    held_out = np.concatenate([dataset.validation.rows, dataset.test.rows])
    trained = {row.tobytes() for row in dataset.train.rows}
    assert not any(row.tobytes() in trained for row in held_out)
    apart = load(tmp_path / "mixed.csv", drop=["order"], repeated_rows="apart")
    assert any(row.tobytes() in {r.tobytes() for r in apart.train.rows} for row in apart.test.rows)
    pairs = np.random.default_rng(0).integers(0, 4, (200, 2))
    np.save(tmp_path / "pairs.npy", pairs)
    dataset = load(tmp_path / "pairs.npy")
    assert [len(dataset.train), len(dataset.test)] == [160, 20]
    assert any("all columns are discrete" in note for note in dataset.notes)


def test_a_file_that_is_held_out_has_the_columns_of_the_source_in_any_order(tmp_path: Path) -> None:
    lines = mixed_lines()
    write_mixed(tmp_path, lines[:250])
    header = "by_card,age,fee,amount,country,when"
    swapped = [
        ",".join(cells[i] for i in (6, 4, 5, 3, 2, 1))
        for cells in (line.split(",") for line in lines[250:])
    ]
    (tmp_path / "test.csv").write_text("\n".join([header, *swapped]) + "\n")
    dataset = load(tmp_path / "mixed.csv", test=str(tmp_path / "test.csv"))
    whole = load(write_mixed(tmp_path, lines, "whole.csv"))
    assert len(dataset.test) == 50
    rows = {
        row.tobytes() for split in (whole.train, whole.validation, whole.test) for row in split.rows
    }
    assert all(row.tobytes() in rows for row in dataset.test.rows)
    wrong = swapped[3].split(",")
    wrong[3] = "many"
    (tmp_path / "test.csv").write_text("\n".join([header, *swapped[:3], ",".join(wrong)]) + "\n")
    with pytest.raises(DataError, match=r"test.csv, line 5: column 'amount': expected .*many"):
        load(tmp_path / "mixed.csv", test=str(tmp_path / "test.csv"))


def test_what_rows_are_conditioned_on_is_no_column_of_theirs(tmp_path: Path) -> None:
    dataset = load(write_mixed(tmp_path), labels="country", context=["amount"], drop=["total"])
    assert {column.name for column in dataset.columns.modelled} == {"when", "age", "fee", "by_card"}
    amount, country = dataset.context
    assert (amount.name, country.name, country.labels) == ("amount", "country", ["DE", "FR", "US"])
    assert dataset.test.context is not None
    assert dataset.test.indices is not None
    for values, index in zip(dataset.test.context, dataset.test.indices, strict=True):
        cells = mixed_lines()[index].split(",")
        assert values[0] == np.float32(cells[3])
        assert ["DE", "FR", "US"][int(values[1])] == cells[2]


REFUSED_DATA = {
    'kinds = { amount = "number" }': "'amount' is 'number', expected one of numeric",
    'keep = ["amonut"]': "keep names 'amonut': the columns are 'order', 'when'",
    'kinds = { country = "numeric" }': "mixed.csv: column 'country', line 2",
    'drop = ["amount"]\nkeep = ["amount"]': "'amount' cannot be dropped and kept",
    'context = ["country"]': """expected numbers; a column of classes is labels = "country\"""",
    'context = ["age"]': "context column 'age' is missing, expected a finite number",
    'labels = "land"': r"no columns \['land'\]",
    'labels = "age"': "has no label in column 'age'",
    'test = "absent.csv"': "no data file at",
}
REFUSED_RECIPES = {
    ("", 'preprocessing = "standardize"'): "preprocessing, in .flow., is for other families",
    ("", "margin = 0.1"): "margin, in .flow., is for other families",
    ("", "transforms = 5"): "flow.transforms is no key of a recipe",
    ("", "embedding = 4"): "embedding, in .flow., is of class labels",
    ("", "column_embedding = 0"): "components and column_embedding are at least 1",
    ("", "heads = 2"): "flow.heads is no key of a recipe",
    ('integers = "dequantize"', ""): "integers, in .data., is for other families",
    ("noise = 0.1\nshape = [6]", ""): "shape and noise, in .data., are for other families",
}


@pytest.mark.parametrize("keys", REFUSED_DATA)
def test_a_table_that_cannot_be_is_refused_in_one_line(tmp_path: Path, keys: str) -> None:
    write_mixed(tmp_path)
    recipe = load_recipe(str(write_recipe(tmp_path, keys)))
    assert isinstance(recipe.data, TypedSource)
    with pytest.raises(DataError, match=REFUSED_DATA[keys]) as refused:
        load_typed(recipe.data)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("keys", REFUSED_RECIPES)
def test_keys_for_flows_of_numbers_are_refused_in_one_line(
    tmp_path: Path, keys: tuple[str, str]
) -> None:
    with pytest.raises(RecipeError, match=REFUSED_RECIPES[keys]) as refused:
        load_recipe(str(write_recipe(tmp_path, *keys)))
    assert "\n" not in str(refused.value)


REFUSED_TRANSFORMERS = {
    "heads = 3": "heads divide the width of a block, 16, got 3",
    "residual = true": "leave `residual` out",
    "patch = 2": "flow.patch is no key of a recipe",
    "transforms = 5": "flow.transforms is no key of a recipe",
}


@pytest.mark.parametrize("keys", REFUSED_TRANSFORMERS)
def test_options_of_a_transformer_over_columns_are_refused_in_one_line(
    tmp_path: Path, keys: str
) -> None:
    path = write_recipe(tmp_path, flow=keys, family="tabular-transformer")
    with pytest.raises(RecipeError, match=REFUSED_TRANSFORMERS[keys]) as refused:
        load_recipe(str(path))
    assert "\n" not in str(refused.value)


def test_families_of_typed_columns_are_known_without_torch() -> None:
    assert tuple(zoo.TYPED_FAMILIES) == TYPED_FAMILIES


@pytest.mark.parametrize("family", TYPED_FAMILIES)
def test_rows_that_are_no_table_are_refused(tmp_path: Path, family: str) -> None:
    path = write_recipe(tmp_path, source="moons", family=family)
    with pytest.raises(RecipeError, match=f"'{family}' models the columns of tables: 'moons'"):
        load_recipe(str(path))


def test_a_recipe_has_defaults_of_its_own_for_typed_columns(tmp_path: Path) -> None:
    recipe = load_recipe(str(write_recipe(tmp_path)))
    fit, options = recipe.fit, recipe.flow.options
    assert (options["dropout"], options["hidden"]) == (0.1, (16,))
    assert (fit.average, fit.patience, fit.learning_rate) == (0.99, 20, 2e-2)
    assert {"average", "patience"}.isdisjoint(fit.model_fields_set)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("values", [[], [0.0] * 20, [0.0] * 19 + [np.nan], [0.0] * 19 + [7.0]])
@pytest.mark.parametrize("kind", ["lattice", "numeric"])
def test_columns_can_be_fitted_whatever_the_training_rows_lack(
    kind: str, values: list[float], closed: bool
) -> None:
    known: dict[str, Any] = {
        "kind": kind,
        "low": 0.0,
        "high": 9.0,
        "point_masses": [0.0],
        "missing": True,
    }
    known |= {"step": 1.0, "closed": closed} if kind == "lattice" else {}
    (fitted,) = fit_columns(np.array(values)[:, None], [known])
    made = zoo.build_tabular([fitted], rows=20)
    x = torch.tensor([[0.0], [9.0], [math.nan]], dtype=torch.float64)
    assert bool(torch.isfinite(made.log_prob(x)).all())
