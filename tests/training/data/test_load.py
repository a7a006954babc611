"""Data sets: what is refused, how rows are divided, what preprocessing makes of them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from models import zoo
from tests.helpers.shared_data import SHARED
from training.config.data import DataSource, data_source
from training.config.flow import FlowRecipe
from training.data import checks as columns
from training.data import load as data
from training.data.toy import DENSITIES
from training.errors import DataError
from training.preprocessing import FITS, preprocessing


def recipe(tmp_path: Path, rows: np.ndarray, **fields: object) -> DataSource:
    np.save(tmp_path / "rows.npy", rows)
    return data_source(source=str(tmp_path / "rows.npy"), **fields)


def table(**columns: np.ndarray) -> np.ndarray:
    return np.column_stack(list(columns.values()))


RNG = np.random.default_rng(0)
SMOOTH = RNG.normal(size=400)

REFUSED: dict[str, tuple[np.ndarray, str]] = {
    "text": (np.array([["a", "b"]] * 20), "the data holds <U1"),
    "complex": (np.ones((20, 2), complex), "the data holds complex128"),
    "truth values": (np.ones((20, 2), bool), "the data holds bool"),
    "few rows": (RNG.normal(size=(5, 2)), "at least 10 rows of 1 column, got 5 × 2"),
    "nan": (table(a=SMOOTH, b=np.where(SMOOTH > 2, np.nan, SMOOTH)), "'1' .* 79 .nan., .* 6 more"),
    "inf": (table(a=np.where(SMOOTH > 2, np.inf, SMOOTH)), "'0' .* in row 79 .inf"),
    "1e300": (table(a=np.where(SMOOTH > 2, 1e300, SMOOTH)), "'0' .* row 79 .1e.300"),
    "labels": (table(a=SMOOTH, b=RNG.integers(0, 3, 400)), "'1' holds only whole numbers .3 diff"),
    "halves": (table(a=SMOOTH, b=RNG.integers(0, 3, 400) / 2), "'1' holds only 3 different"),
    "constant": (table(a=SMOOTH, b=np.full(400, 0.5)), "'1' holds only 1 different values"),
    "many halves": (table(a=RNG.integers(0, 40, 10_000) / 2), "'0' holds only 40 different"),
    "zero-inflated": (table(a=np.where(SMOOTH > 0, SMOOTH, 0.0)), "'0' is 0 in"),
    "a column twice": (table(a=SMOOTH, b=SMOOTH**3, c=SMOOTH), "'2' repeats column '0'"),
    "huge offset": (table(a=1.6e9 + SMOOTH), "float32 can tell only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns_without_a_density_are_refused_by_name(tmp_path: Path, case: str) -> None:
    rows, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        data.load_dataset(recipe(tmp_path, rows))


def test_columns_can_be_dropped_and_integers_dequantised(tmp_path: Path) -> None:
    rows = table(a=SMOOTH, b=RNG.integers(0, 3, 400))
    dropped = data.load_dataset(recipe(tmp_path, rows, drop=["1"]))
    assert dropped.event_shape == (1,)
    kept = data.load_dataset(recipe(tmp_path, rows, integers="dequantize"))
    assert kept.integer.tolist() == [False, True]
    noise = kept.noisy(kept.train.rows, copies=3, seed=1) - kept.train.rows
    assert noise.shape == (3, *kept.train.rows.shape)
    assert (noise[..., 0] == 0).all()
    assert np.abs(noise[..., 1]).max() <= 0.5
    assert noise[..., 1].std() == pytest.approx(12**-0.5, rel=0.1)
    huge = table(a=SMOOTH, b=2**25 + RNG.integers(0, 300, 400))
    with pytest.raises(DataError, match="cannot add noise"):
        data.load_dataset(recipe(tmp_path, huge, integers="dequantize"))
    with pytest.raises(DataError, match=r"cannot drop .'2'.: the columns are"):
        data.load_dataset(recipe(tmp_path, rows, drop=["2"]))


def test_rows_are_divided_by_the_seed_and_none_is_lost(tmp_path: Path) -> None:
    rows = RNG.normal(size=(100, 2)).astype(np.float32)
    one = data.load_dataset(recipe(tmp_path, rows, seed=3))
    assert [len(part) for part in (one.train, one.validation, one.test)] == [80, 10, 10]
    everything = np.concatenate([one.train.rows, one.validation.rows, one.test.rows])
    assert np.array_equal(np.sort(everything, 0), np.sort(rows, 0))
    again, other = (data.load_dataset(recipe(tmp_path, rows, seed=s)) for s in (3, 4))
    assert np.array_equal(one.test.rows, again.test.rows)
    assert not np.array_equal(one.test.rows, other.test.rows)
    assert one.sha256 == again.sha256


def test_digits_are_integers_that_share_their_range() -> None:
    digits = data.load_dataset(data_source(source="digits"))
    assert digits.event_shape == (64,)
    assert len(digits.train) + len(digits.validation) + len(digits.test) == 1797
    assert digits.integer.all()
    assert (digits.low.min(), digits.high.max()) == (0, 16)
    assert np.ptp(digits.low) == np.ptp(digits.high) == 0


def test_a_division_that_leaves_too_few_is_refused(tmp_path: Path) -> None:
    for fields in ({}, {"test": 0.5, "validation": 0.49}):
        with pytest.raises(DataError, match="at least 2, 1 and 2 are needed"):
            data.load_dataset(recipe(tmp_path, RNG.normal(size=(10, 1)), **fields))


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_are_a_function_of_the_seed(name: str) -> None:
    rows = DENSITIES[name](500, 1)
    assert rows.shape == (500, 2)
    assert np.isfinite(rows).all()
    assert np.array_equal(rows, DENSITIES[name](500, 1))
    assert not np.array_equal(rows, DENSITIES[name](500, 2))


@pytest.mark.parametrize(
    "kind", ["standardize", "whiten", "logit", "soft-logit", "normal-marginals"]
)
def test_preprocessing_leaves_training_rows_standard(kind: str) -> None:
    digits = data.load_dataset(data_source(source="digits"))
    steps = preprocessing(digits, FlowRecipe(family="nice", preprocessing=kind))
    flow = zoo.build("nice", (64,), preprocessing=steps, options={"transforms": 1})
    noisy = torch.from_numpy(digits.noisy(digits.train.rows, 1, 5)[0])
    with torch.no_grad():
        z, log_det = flow.bijection.encode(noisy)
    assert torch.isfinite(log_det).all()
    assert z.mean(0).abs().max() < 0.2
    assert (z.std(0) - 1).abs().max() < 0.2


def test_a_logit_needs_bounds_that_hold(tmp_path: Path) -> None:
    flow = FlowRecipe(family="maf", preprocessing="logit")
    unit = RNG.random((200, 2))
    with pytest.raises(DataError, match="set bounds"):
        preprocessing(data.load_dataset(recipe(tmp_path, unit)), flow)
    steps = preprocessing(data.load_dataset(recipe(tmp_path, unit, bounds=[0, 1])), flow)
    assert (steps[0]["low"], steps[0]["high"]) == (-0.01, 1.01)
    with pytest.raises(DataError, match="outside the bounds"):
        data.load_dataset(recipe(tmp_path, unit, bounds=[0, 0.5]))


def test_whitened_rows_are_uncorrelated_widest_directions_first(tmp_path: Path) -> None:
    mixed = RNG.normal(size=(500, 3)) @ [[3, 1, 0], [0, 1, 1], [0, 0, 0.1]]
    dataset = data.load_dataset(recipe(tmp_path, mixed))
    flow = FlowRecipe(family="maf", preprocessing="whiten")
    standardize, whiten = preprocessing(dataset, flow)
    rows = (dataset.train.rows - standardize["mean"]) / standardize["scale"]
    white = rows @ np.transpose(whiten["matrix"])
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=0.01)
    lengths = np.linalg.norm(whiten["matrix"], axis=1)
    assert lengths.tolist() == sorted(lengths)
    assert all(max(row, key=abs) > 0 for row in whiten["matrix"])
    dependent = np.column_stack([mixed, mixed[:, 0] - mixed[:, 1]])
    same = data.load_dataset(recipe(tmp_path, dependent, noise=1e-9))
    with pytest.raises(DataError, match="none of which follows from the others"):
        preprocessing(same, flow)
    with pytest.raises(DataError, match="rows of one axis"):
        preprocessing(data.load_dataset(data_source(source="digits", shape=[1, 8, 8])), flow)


def test_marginals_are_made_normal_over_the_whole_range_of_the_values(tmp_path: Path) -> None:
    mostly_zero = RNG.random((20_000, 3)) * [0.01, 1, 1]
    rows = np.floor(256 * np.where(RNG.random((20_000, 3)) < 0.8, 0, mostly_zero) ** 2)
    rows[0] = 255  # so rare a value that a line through the others would put it hundreds away
    fields = {"integers": "dequantize", "bounds": [0, 255]}
    dataset = data.load_dataset(recipe(tmp_path, rows, **fields))
    flow = FlowRecipe(family="maf", preprocessing="normal-marginals")
    (step,) = preprocessing(dataset, flow)
    layer = zoo.fixed_layer((3,), **step).double()
    noisy = torch.from_numpy(dataset.noisy(dataset.train.rows, 1, 5)[0].astype(np.float64))
    z = layer.encode(noisy)[0].numpy()
    for column in z.T:
        assert stats.kstest(column, "norm").statistic < 0.05  # a knot every fifth of a deviation
    corners = torch.tensor([[-0.5] * 3, [255.5] * 3], dtype=torch.float64)
    assert layer.encode(corners)[0].abs().max() < 10
    # a table without bounds ends in straight lines
    ramp = data.load_dataset(recipe(tmp_path, RNG.normal(size=(2000, 1))))
    (step,) = preprocessing(ramp, flow)
    far = zoo.fixed_layer((1,), **step).encode(torch.tensor([[50.0], [60.0], [70.0]]))[0]
    torch.testing.assert_close(far[2] - far[1], far[1] - far[0])


def test_dequantised_columns_beside_others_are_normal_too(tmp_path: Path) -> None:
    counts = np.where(RNG.random(20_000) < 0.8, 0, np.floor(1000 * RNG.random(20_000)))
    mixed = np.column_stack([counts, RNG.normal(size=20_000)])
    dataset = data.load_dataset(recipe(tmp_path, mixed, integers="dequantize"))
    flow = FlowRecipe(family="maf", preprocessing="normal-marginals")
    (step,) = preprocessing(dataset, flow)
    noisy = torch.from_numpy(dataset.noisy(dataset.train.rows, 1, 5)[0])
    for column in zoo.fixed_layer((2,), **step).encode(noisy)[0].numpy().T:
        assert stats.kstest(column, "norm").statistic < 0.1


def test_each_preprocessing_has_a_layer_and_is_fitted() -> None:
    assert FITS.keys() == zoo.PREPROCESSING.keys()


@pytest.mark.parametrize(
    ("keys", "splines"),
    [
        ({}, 1),
        ({"places": True}, 64),  # as of recipes that know no other key
        ({"places": True, "per_pixel_marginals": False}, 1),
        ({"per_pixel_marginals": True}, 64),
    ],
)
def test_pixels_share_a_spline_or_have_their_own(keys: dict[str, bool], splines: int) -> None:
    digits = data.load_dataset(data_source(source="digits", shape=[1, 8, 8]))
    fields = {"family": "glow", "preprocessing": "normal-marginals", **keys}
    recipe = FlowRecipe.model_validate(fields)
    assert FlowRecipe.model_validate(recipe.model_dump()) == recipe
    (step,) = preprocessing(digits, recipe)
    assert len(step["x"]) == len(step["slope"]) == splines
    layer = zoo.fixed_layer((1, 8, 8), **step)
    z = layer.encode(torch.from_numpy(digits.noisy(digits.train.rows, 1, 5)[0]))[0]
    assert z.std().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("held", ["test", "validation", "both"])
def test_rows_can_be_held_out_in_files_of_their_own(tmp_path: Path, held: str) -> None:
    fields: dict[str, object] = {"validation": 0.25, "test": 0.25}
    for part in ("validation", "test") if held == "both" else (held,):
        np.save(tmp_path / f"{part}.npy", RNG.normal(size=(30, 2)))
        fields[part] = str(tmp_path / f"{part}.npy")
    dataset = data.load_dataset(recipe(tmp_path, rows := RNG.normal(size=(100, 2)), **fields))
    sizes = {"test": (75, 25, 30), "validation": (75, 30, 25), "both": (100, 30, 30)}[held]
    assert tuple(map(len, (dataset.train, dataset.validation, dataset.test))) == sizes
    for part in ("validation", "test"):
        if isinstance(path := fields[part], str):
            split = getattr(dataset, part)
            np.testing.assert_array_equal(split.rows, np.load(path).astype(np.float32))
    other = data.load_dataset(recipe(tmp_path, rows, **fields | {"seed": 1}))
    assert other.sha256 == dataset.sha256 != data.load_dataset(recipe(tmp_path, rows)).sha256


def test_a_large_file_is_never_in_memory_as_a_whole_but_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = RNG.normal(size=(100_000, 20)).astype(np.float32)
    chosen = recipe(tmp_path, rows)
    monkeypatch.setattr(columns, "NUMBERS_AT_ONCE", 2**18)
    tracemalloc.start()
    dataset = data.load_dataset(chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset.train) == 80_000
    assert peak < 2 * rows.nbytes
    monkeypatch.undo()
    whole = data.load_dataset(chosen)
    np.testing.assert_array_equal(dataset.train.rows, whole.train.rows)
    np.testing.assert_array_equal(dataset.low, whole.low)


def test_training_can_be_on_fewer_rows(tmp_path: Path) -> None:
    rows = RNG.normal(size=(100, 2))
    whole, few = (data.load_dataset(recipe(tmp_path, rows, train_rows=n)) for n in (None, 30))
    np.testing.assert_array_equal(few.train.rows, whole.train.rows[:30])
    np.testing.assert_array_equal(few.test.rows, whole.test.rows)


def test_held_out_files_have_the_columns_of_the_source(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((10, 3)))
    with pytest.raises(DataError, match=r"wide.npy has the columns 0, 1, 2, .* has 0, 1:"):
        data.load_dataset(
            recipe(tmp_path, RNG.normal(size=(20, 2)), test=str(tmp_path / "wide.npy"))
        )
    with pytest.raises(ValueError, match=r"'other.npy' can be held out beside a file"):
        data_source(source="digits", test="other.npy")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_real_files_load() -> None:
    mnist = data_source(
        source=str(SHARED / "mnist" / "t10k-images-idx3-ubyte.gz"), integers="dequantize"
    )
    images = data.load_dataset(mnist)
    assert images.event_shape == (784,)
    assert images.high.max() == 255
    wine = str(SHARED / "wine_quality" / "winequality-red.csv")
    with pytest.raises(DataError, match="'quality' holds only whole numbers"):
        data.load_dataset(data_source(source=wine))
    assert data.load_dataset(data_source(source=wine, drop=["quality"])).event_shape == (11,)
    cardio = str(SHARED / "adbench" / "38_thyroid.npz")
    assert data.load_dataset(data_source(source=cardio, key="X")).event_shape == (6,)


def test_a_held_out_file_may_be_of_another_format(tmp_path: Path) -> None:
    train, test = RNG.normal(size=(30, 2)), RNG.normal(size=(10, 2))
    np.savez(tmp_path / "rows.npz", X=train, y=np.zeros(30))
    np.save(tmp_path / "test.npy", test)
    keys = {"source": str(tmp_path / "rows.npz"), "key": "X", "test": str(tmp_path / "test.npy")}
    dataset = data.load_dataset(data_source(**keys))
    np.testing.assert_array_equal(dataset.test.rows, test.astype(np.float32))
    with pytest.raises(DataError, match="set window = SAMPLES"):
        data.load_dataset(data_source(**keys | {"test": str(tmp_path / "test.zip")}))


def test_a_kind_that_is_not_the_files_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", RNG.normal(size=(30, 2)))
    with pytest.raises(DataError, match=r"is of kind table, but .data. says kind images"):
        data.load_dataset(data_source(source=str(tmp_path / "rows.npy"), kind="images"))
