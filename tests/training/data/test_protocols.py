"""The papers' protocols, on small files in the published formats."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.benchmarks.papers import data as paper_data
from tests.helpers.shared_data import SHARED
from training.config.data import data_source
from training.data import load as data
from training.data import protocols
from training.errors import DataError

RNG = np.random.default_rng(0)


def sizes(splits: protocols.PublishedRows) -> list[int]:
    return [len(part) for part in splits]


def moments(*parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.concatenate(parts)
    return rows.mean(0), rows.std(0)


@pytest.fixture
def power(tmp_path: Path) -> Path:
    path = tmp_path / "household_power_consumption.txt"
    lines = ["Date;Time;Global_active_power;Global_reactive_power;Voltage;I;Sub_1;Sub_2;Sub_3"]
    for i in range(400):
        values = [f"{RNG.uniform(0, 4):.3f}", f"{RNG.uniform(0, 1):.3f}"]
        values += [f"{RNG.uniform(230, 250):.2f}", "1.2", *map(str, RNG.integers(0, 40, 3))]
        lines.append(f"16/12/2006;{i // 60:02d}:{i % 60:02d}:00;" + ";".join(values))
    lines.append("17/12/2006;10:00:00;?;?;?;?;?;?;")  # as a missing minute is written
    path.write_text("\n".join(lines) + "\n")
    return path


def test_power_is_shuffled_dequantised_and_standardized_without_the_test_rows(power: Path) -> None:
    splits = protocols.read("power", power)
    assert sizes(splits) == [324, 36, 40]
    mean, deviation = moments(splits.train, splits.validation)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    np.testing.assert_allclose(deviation, 1)
    assert np.abs(splits.test.mean(0)).max() > 1e-3
    rows = np.concatenate(splits)
    assert rows.shape[1] == 6
    # the minutes are the whole numbers 0 … 399, in no order; the meters are none, but whole ± noise
    minutes = np.sort(rows[:, 5])
    np.testing.assert_allclose(np.diff(minutes), np.diff(minutes)[0])
    assert not np.array_equal(rows[:, 5], minutes)
    assert len(np.unique(rows[:, 2])) == 400


def test_power_is_that_of_the_array_of_the_same_measurements(power: Path) -> None:
    lines = [line.split(";") for line in power.read_text().splitlines()[1:-1]]
    rows = [[*map(float, line[2:]), int(line[1][:2]) * 60 + int(line[1][3:5])] for line in lines]
    np.save(power.parent / "data.npy", rows)
    text, array = (protocols.read("power", path) for path in (power, power.parent / "data.npy"))
    np.testing.assert_array_equal(text.test, array.test)


def test_gas_leaves_out_correlated_channels_and_takes_a_quarter(tmp_path: Path) -> None:
    free = RNG.normal(size=(800, 10))
    channels = np.column_stack([free, free[:, :6] + 1e-3 * RNG.normal(size=(800, 6))])
    whole = np.column_stack([np.arange(800), RNG.normal(size=(800, 2)), channels])
    path = tmp_path / "ethylene_CO.txt"
    np.savetxt(path, whole, header="Time (seconds), CO conc (ppm), …", comments="")
    splits = protocols.read("gas", path)
    assert sizes(splits) == [162, 18, 20]
    rows = np.concatenate(splits)
    assert rows.shape[1] == 10
    assert (np.corrcoef(rows.T) > 0.98).sum() == 10
    np.testing.assert_allclose(rows.std(0, ddof=1), 1)
    # no quarter of an hour but a quarter of all rows
    assert len(np.unique(rows, axis=0)) == 200
    np.save(tmp_path / "channels.npy", channels)
    assert sizes(protocols.read("gas", tmp_path / "channels.npy")) == [648, 72, 80]


def test_hepmass_is_the_signal_without_repeated_columns(tmp_path: Path) -> None:
    for part, more in (("train", ""), ("test", ",1000.0")):
        lines = ["# label," + ",".join(f"f{i}" for i in range(4)) + ",mass"]
        for i in range(100):
            smooth = RNG.normal(i % 2 * 100, 1, 3)
            lines.append(
                f"{i % 2:.1f},{smooth[0]},{i % 3},{smooth[1]},{smooth[2]},{smooth[0]}{more}"
            )
        content = "\n".join(lines).encode()
        (tmp_path / f"1000_{part}.csv.gz").write_bytes(gzip.compress(content))
    splits = protocols.read("hepmass", tmp_path)
    assert sizes(splits) == [45, 5, 50]
    mean, deviation = moments(splits.train, splits.validation)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    np.testing.assert_allclose(deviation, np.sqrt(49 / 50))
    assert splits.test.shape[1] == 4
    assert np.abs(splits.test).max() < 10  # the background is a hundred deviations away
    (tmp_path / "1000_test.csv.gz").unlink()
    with pytest.raises(DataError, match=r"no 1000_test.csv in"):
        protocols.read("hepmass", tmp_path)


def test_miniboone_is_the_signal_without_outliers_and_repeated_columns(tmp_path: Path) -> None:
    signal, background = RNG.normal(size=(300, 50)), RNG.normal(500, 1, size=(100, 50))
    signal[:, 3::10] = RNG.integers(0, 3, size=(300, 5))
    signal[[5, 7]] = -999
    path = tmp_path / "MiniBooNE_PID.txt"
    np.savetxt(path, np.concatenate([signal, background]), header="300 100", comments=" ")
    splits = protocols.read("miniboone", path)
    assert sizes(splits) == [243, 26, 29]
    assert splits.train.shape[1] == 45
    np.testing.assert_allclose(moments(splits.train, splits.validation)[1], 1)
    assert np.abs(np.concatenate(splits)).max() < 10


def patches(folder: Path) -> np.ndarray:
    rows = RNG.integers(0, 256, size=(50, 8, 8), dtype=np.uint8)
    for part, chosen in zip(protocols.PublishedRows._fields, np.split(rows, [30, 40]), strict=True):
        np.save(folder / f"{part}.npy", chosen)
    return rows.reshape(-1, 64)


def test_patches_have_noise_and_no_mean(tmp_path: Path) -> None:
    pixels = patches(tmp_path).astype(float)
    splits = protocols.read("bsds300", tmp_path)
    assert sizes(splits) == [30, 10, 10]
    rows = np.concatenate(splits)
    last = -rows.sum(1, keepdims=True)
    whole = np.hstack([rows, last])
    noise = 256 * (whole - whole[:, :1]) - (pixels - pixels[:, :1])
    assert 0.9 < np.abs(noise).max() < 1
    with h5py.File(tmp_path / "BSDS300.hdf5", "w") as file:
        for part, values in splits._asdict().items():
            file[part] = values
    published = protocols.read("bsds300", tmp_path / "BSDS300.hdf5")
    np.testing.assert_array_equal(np.concatenate(published), rows)


def test_a_recipe_takes_a_protocol(tmp_path: Path) -> None:
    patches(tmp_path)
    recipe = data_source(source=str(tmp_path), protocol="bsds300", shape=[1, 9, 7])
    assert type(recipe).model_validate_json(recipe.model_dump_json()) == recipe
    dataset = data.load_dataset(recipe)
    assert dataset.train.rows.shape == (30, 1, 9, 7)
    assert dataset.train.rows.dtype == np.float32
    assert not dataset.integer.any()
    assert np.isinf(dataset.low).all()
    (tmp_path / "test.npy").write_bytes((tmp_path / "train.npy").read_bytes())
    assert data.load_dataset(recipe).sha256 != dataset.sha256
    few = data.load_dataset(recipe.model_copy(update={"train_rows": 7}))
    np.testing.assert_array_equal(few.train.rows, dataset.train.rows[:7])
    with pytest.raises(DataError, match="8 elements, the rows have 63"):
        data.load_dataset(recipe.model_copy(update={"shape": [8]}))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"protocol": "pwer"}, "Input should be 'power', 'gas'"),
        ({"protocol": "gas", "test": 0.2}, "test is a key of .*; 'gas' is of kind protocol"),
    ],
)
def test_wrong_protocols_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data_source(source="gas.npy", **fields)


def test_what_is_not_the_protocols_file_is_refused_by_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no data at .*expects `MiniBooNE_PID.txt` as the UCI"):
        protocols.read("miniboone", tmp_path / "none.txt")
    np.save(tmp_path / "narrow.npy", np.ones((20, 3)))
    with pytest.raises(DataError, match=r"'power' expects.*expected 8 columns, got 3"):
        protocols.read("power", tmp_path / "narrow.npy")
    (tmp_path / "text.txt").write_text("no numbers\nat all\n")
    for name in ("power", "gas", "miniboone", "bsds300"):
        with pytest.raises(DataError, match=f"is not what protocol '{name}' expects"):
            protocols.read(name, tmp_path / "text.txt")


@pytest.mark.long
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_real_patches_and_power_are_those_of_the_reference_loaders(tmp_path: Path) -> None:
    paper_data.write(tmp_path)
    splits = protocols.read("power", tmp_path / "power.npy")
    assert sizes(splits) == [38844, 4316, 4795]
    loaders = paper_data.loaders()
    for ours, theirs in zip(splits, loaders.load_power_head(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    patches = protocols.read("bsds300", tmp_path / "bsds300")
    assert sizes(patches) == [1_000_000, 50_000, 250_000]
    # a full Gaussian scores on them what it does in the paper, 96.67 ± 0.25
    train, test = patches.train[:300_000], patches.test
    whitened = np.linalg.solve(
        cholesky := np.linalg.cholesky(np.cov(train.T)), (test - train.mean(0)).T
    )
    score = -0.5 * ((whitened**2).sum(0) + 63 * np.log(2 * np.pi)) - np.log(np.diag(cholesky)).sum()
    assert score.mean() == pytest.approx(96.67, abs=0.5)
