"""Tables that cannot be modelled: every problem is named at once, and the advice works."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from training.config.data import data_source
from training.data.dataset import Dataset
from training.data.load import load_dataset
from training.errors import DataError

RNG = np.random.default_rng(0)
N = 400
A, B = RNG.normal(size=(2, N))


def save(folder: Path, **columns: object) -> Path:
    """A CSV of columns of numbers or texts."""
    path = folder / "rows.csv"
    cells = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in cells)]))
    return path


def load(path: Path, **keys: object) -> Dataset:
    return load_dataset(data_source(source=str(path), **keys))


def refusal(path: Path, **keys: object) -> str:
    with pytest.raises(DataError) as error:
        load(path, **keys)
    return str(error.value)


KINDS = np.array(["car", "bus"])[RNG.integers(0, 2, N)]
TABLE = {
    "id": np.arange(N),
    "a": A,
    "kind": KINDS,
    "day": np.datetime64("2026-01-01") + np.arange(N),
    "price": [f"{value:.2f} €" for value in B],
    "share": [f"{value:.2f}%" for value in B],
    "zero": np.where(B > 0, B, 0.0),
    "gap": np.where(B > 2, np.nan, B),
    "twice": A,
    "count": RNG.poisson(5, N),
}


def test_all_problems_of_a_table_are_said_at_once_and_what_is_left_loads(tmp_path: Path) -> None:
    path = save(tmp_path, **TABLE)
    said = refusal(path)
    for name in TABLE.keys() - {"a"}:
        assert f"column '{name}'" in said, name
    assert "'id' numbers the rows, from 0 to 399" in said
    assert "'twice' repeats column 'a'" in said
    assert "'price': '" in said
    assert "in line 2, which has a currency sign" in said
    # the advice, followed
    (drop,) = re.findall(r"drop = (\[[^]]*\])", said)
    assert load(path, drop=json.loads(drop)).event_shape == (1,)


def test_advice_works_when_followed(tmp_path: Path) -> None:
    assert 'labels = "kind"' in (said := refusal(save(tmp_path, a=A, kind=KINDS)))
    assert load(tmp_path / "rows.csv", labels="kind").context[0].labels == ["bus", "car"]
    assert 'drop = ["kind"]' in said
    # a date is no class, and neither is a name that stands there once
    for column in (TABLE["day"], [f"name {i}" for i in range(N)]):
        assert "labels" not in refusal(save(tmp_path, a=A, b=column))
    said = refusal(save(tmp_path, a=A, count=TABLE["count"]))
    assert 'integers = "dequantize"' in said
    assert load(tmp_path / "rows.csv", integers="dequantize").event_shape == (2,)
    # what would be refused next is not advised
    assert "dequantize" not in refusal(save(tmp_path, a=A, id=TABLE["id"]))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("?", "seems to stand for a missing value"),
        ("5,34", "has a decimal comma"),
        ("5.34%", "ends in a per cent sign"),
        ("1,234.5", "has separators of thousands"),
        ("3 kg", "ends in a unit"),
        ("abc", ""),
    ],
)
def test_text_among_numbers_is_named_with_its_line_and_how_often(
    tmp_path: Path, text: str, cause: str
) -> None:
    cells: list[object] = [f"{value:.5f}" for value in A]
    cells[7] = cells[99] = f'"{text}"'
    said = refusal(save(tmp_path, a=cells, b=B))
    assert f"column 'a': {text!r} in line 9" in said
    assert cause in said
    assert "nor are 1 more of 400 values" in said


def test_columns_that_follow_from_others_are_refused_by_name(tmp_path: Path) -> None:
    c = RNG.normal(size=N)
    assert "'fahrenheit' follows from 'a'" in refusal(
        save(tmp_path, a=A, fahrenheit=1.8 * A + 32, b=B)
    )
    said = refusal(save(tmp_path, a=A, b=B, c=c, total=A + B + c))
    assert re.search(r"follows from '\w+', '\w+', '\w+'", said)
    shares = np.exp([A, B, c]) / np.exp([A, B, c]).sum(0)
    assert "follows from" in refusal(save(tmp_path, x=shares[0], y=shares[1], z=shares[2]))
    # nearly is not quite: measured twice
    assert load(save(tmp_path, a=A, again=A + 1e-3 * B)).event_shape == (2,)


def test_whole_numbers_that_hold_nothing_are_refused_and_constant_pixels_are_not(
    tmp_path: Path,
) -> None:
    counts = RNG.poisson(5, N)
    said = refusal(
        save(tmp_path, k=counts, same=np.full(N, 3), id=RNG.permutation(N), copy=counts),
        integers="dequantize",
    )
    assert "'same' is 3 in every row" in said
    assert "'id' numbers the rows" in said
    assert "'copy' repeats column 'k'" in said
    images = RNG.integers(0, 256, (N, 4, 4)).astype(np.uint8)
    images[:, 0] = 0
    np.save(tmp_path / "images.npy", images)
    assert load(tmp_path / "images.npy", integers="dequantize").event_shape == (16,)


def test_an_array_of_images_is_called_one(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", RNG.integers(0, 256, (N, 4, 5)).astype(np.uint8))
    said = refusal(tmp_path / "images.npy")
    assert "A row of the file is an array of 4 × 5: for images set shape = [1, 4, 5]" in said
    assert "drop" not in said
    advised = load(tmp_path / "images.npy", shape=[1, 4, 5], integers="dequantize")
    assert advised.event_shape == (1, 4, 5)


def test_large_floats_are_no_whole_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.c_[A, B] * 1e25)
    assert load(tmp_path / "rows.npy").event_shape == (2,)
    np.save(tmp_path / "rows.npy", (np.c_[A, B] * 1e12).astype(np.float32))
    assert load(tmp_path / "rows.npy").event_shape == (2,)


def test_an_outlier_is_said_and_one_that_cannot_be_scored_is_refused(tmp_path: Path) -> None:
    far = A.copy()
    far[17] = 1e6
    (note,) = load(save(tmp_path, a=far, b=B)).notes
    assert "column 'a' is 1e+06 in line 19" in note
    assert load(save(tmp_path, a=A, b=B)).notes == []
    held_out = load(tmp_path / "rows.csv").test.indices
    assert held_out is not None
    far = A.copy()
    far[held_out[0]] = 1e30
    assert f"1e+30 in line {held_out[0] + 2}, which is held out" in refusal(
        save(tmp_path, a=far, b=B)
    )


def test_equal_rows_are_held_out_together_and_said(tmp_path: Path) -> None:
    rows = np.repeat(np.c_[A, B][:100], 4, 0)
    np.save(tmp_path / "rows.npy", rows)
    dataset = load(tmp_path / "rows.npy")
    assert "300 of 400 rows repeat other rows: equal rows are divided together" in dataset.notes
    parts = [{tuple(row) for row in part.rows.tolist()} for part in (dataset.train, dataset.test)]
    assert not parts[0] & parts[1]
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == 400
    assert (len(dataset.validation), len(dataset.test)) == (40, 40)
    apart = load(tmp_path / "rows.npy", repeated_rows="apart")
    shared = {tuple(r) for r in apart.train.rows.tolist()} & {
        tuple(r) for r in apart.test.rows.tolist()
    }
    assert shared
    # without equal rows both are one division
    np.save(tmp_path / "rows.npy", np.c_[A, B])
    one, other = (load(tmp_path / "rows.npy", repeated_rows=how) for how in ("together", "apart"))
    np.testing.assert_array_equal(one.test.rows, other.test.rows)
