"""Reading images and sounds, in small files of the published formats."""

import io
import wave
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import scipy.io
import torch

from models import zoo
from service.bundle import Sound
from tests.helpers.shared_data import SHARED
from tests.helpers.sources import read
from training.config.data import data_source
from training.config.fit import FitRecipe
from training.config.flow import FlowRecipe
from training.data import load as data
from training.errors import DataError
from training.fit.likelihood import Likelihood
from training.preprocessing import preprocessing

RNG = np.random.default_rng(0)


def test_cifar_batches_are_images_and_classes(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (12, 3, 32, 32), np.uint8)
    classes = RNG.integers(0, 10, 12).astype(np.uint8)
    rows = np.concatenate([classes[:, None], images.reshape(12, -1)], 1)
    path = tmp_path / "data_batch_1.bin"
    rows.tofile(path)
    table = read(path, labels="label")
    assert table.rows.dtype == np.uint8
    np.testing.assert_array_equal(table.rows.reshape(images.shape), images)
    np.testing.assert_array_equal(table.labels, classes)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"not a readable .bin file: expected images of 3073"):
        read(path)


def test_svhn_has_its_images_last_and_a_zero_for_ten(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (32, 32, 3, 7), np.uint8)
    digits = np.array([[1, 10, 3, 9, 10, 5, 2]], np.uint8).T
    path = tmp_path / "test_32x32.mat"
    scipy.io.savemat(path, {"X": images, "y": digits})
    table = read(path, labels="y")
    shaped = table.rows.reshape(7, 3, 32, 32)
    np.testing.assert_array_equal(shaped[4, 2], images[:, :, 2, 4])
    assert table.labels is not None
    assert table.labels.tolist() == [1, 0, 3, 9, 0, 5, 2]
    scipy.io.savemat(path, {"X": images})
    with pytest.raises(DataError, match="it holds no y"):
        read(path)
    scipy.io.savemat(path, {"X": images, "y": digits[:3]})
    with pytest.raises(DataError, match="3 labels are not those of images"):
        read(path)
    path.write_text("no matrix")
    with pytest.raises(DataError, match=r"not a readable .mat file"):
        read(path)


def pictures(folder: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> np.ndarray:
    """Pictures of two classes, of a size as PIL has it; N × H × W (× C), in reading order."""
    shape = (8, size[1], size[0], 3) if mode == "RGB" else (8, size[1], size[0])
    images = RNG.integers(0, 256, shape, np.uint8)
    for i, pixels in enumerate(images):
        (folder / "cat").mkdir(parents=True, exist_ok=True)
        (folder / "dog").mkdir(exist_ok=True)
        PIL.Image.fromarray(pixels).save(folder / ("cat" if i < 5 else "dog") / f"{i}.png")
    return images


def test_a_folder_of_pictures_is_read_with_the_folders_as_classes(tmp_path: Path) -> None:
    images = pictures(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    table = read(tmp_path, labels="folder")
    np.testing.assert_array_equal(table.rows.reshape(8, 3, 4, 6), images.transpose(0, 3, 1, 2))
    assert table.labels is not None
    assert table.labels.tolist() == ["cat"] * 5 + ["dog"] * 3


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    images = pictures(tmp_path, "L")
    assert np.array_equal(read(tmp_path).rows, images.reshape(8, -1))


def test_pictures_of_other_sizes_and_broken_ones_are_refused_by_name(tmp_path: Path) -> None:
    pictures(tmp_path)
    PIL.Image.new("RGB", (5, 4)).save(tmp_path / "dog" / "narrow.png")
    with pytest.raises(DataError, match=r"narrow.png has the shape \(3, 4, 5\)"):
        read(tmp_path)
    (tmp_path / "dog" / "narrow.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(DataError, match=r"narrow.png is not a readable picture"):
        read(tmp_path)
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match="not a readable folder of pictures: it holds neither pictures nor sounds"
    ):
        read(empty)


def sound(samples: np.ndarray, rate: int = 8000, channels: int = 1) -> bytes:
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(samples.dtype.itemsize)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return written.getvalue()


@pytest.fixture
def sounds(tmp_path: Path) -> dict[str, np.ndarray]:
    """`7_ann_0.wav` and the like, in a folder and in a zip."""
    made = {
        f"{digit}_{who}_0.wav": RNG.integers(-(2**15), 2**15, 25 + 10 * digit).astype("<i2")
        for digit in range(3)
        for who in ("ann", "bob")
    }
    (tmp_path / "wav").mkdir()
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, samples in made.items():
            (tmp_path / "wav" / name).write_bytes(sound(samples))
            archive.writestr(f"recordings/{name}", sound(samples))
        archive.writestr("recordings/README", "no sound")
    return made


def test_sounds_are_cut_into_windows_named_by_their_files(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    folder, archive = (
        read(tmp_path / name, labels="name", window=10) for name in ("wav", "all.zip")
    )
    np.testing.assert_array_equal(folder.rows, archive.rows)
    assert folder.labels is not None
    assert folder.labels.tolist() == [*["0"] * 4, *["1"] * 6, *["2"] * 8]
    np.testing.assert_array_equal(folder.rows[4:7].ravel(), sounds["1_ann_0.wav"][:30])


def test_sounds_need_a_window_and_are_of_one_kind(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match="set window = SAMPLES"):
        read(tmp_path / "all.zip")
    with pytest.raises(DataError, match="no sound as long as a window of 1000 samples"):
        read(tmp_path / "wav", window=1000)
    some = sounds["2_bob_0.wav"]
    for content, words in (
        (
            sound(some, rate=16_000),
            r"9.wav is a sound of 16000 Hz and 16 bits, those b",
        ),
        (sound(some, channels=2), r"9.wav has 2 channels of 16 bits"),
        (b"RIFF", r"9.wav is not a readable .wav file"),
    ):
        (tmp_path / "wav" / "9.wav").write_bytes(content)
        with pytest.raises(DataError, match=words):
            read(tmp_path / "wav", window=10)
    (tmp_path / "bad.zip").write_bytes(b"PK no more")
    with pytest.raises(DataError, match=r"not a readable .zip file"):
        read(tmp_path / "bad.zip", window=10)


def test_whole_sounds_are_cut_or_followed_by_silence(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    table = read(tmp_path / "wav", labels="name", window=35, whole=True)
    assert table.labels is not None
    assert table.labels.tolist() == ["0", "0", "1", "1", "2", "2"]
    for row, samples in zip(table.rows, sounds.values(), strict=True):
        expected = np.concatenate([samples, np.zeros(35, samples.dtype)])[:35]
        np.testing.assert_array_equal(row, expected)
    assert table.sound == Sound(rate=8000, full_scale=32768)


def test_the_end_of_a_sound_that_silence_follows_falls_off(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    rows = read(tmp_path / "wav", window=40, whole=True, fade=9).rows
    for row, samples in zip(rows, sounds.values(), strict=True):
        n = min(len(samples), 40)
        expected = samples[:n] * np.where(n < 40, np.clip((n - np.arange(n)) / 10, 0, 1), 1)
        np.testing.assert_allclose(row[:n], expected, atol=0.5)
        assert not row[n:].any()


def test_sounds_are_brought_to_one_level(tmp_path: Path, sounds: dict[str, np.ndarray]) -> None:
    quiet, loud = (sounds["2_ann_0.wav"] // factor for factor in (100, 1))
    (tmp_path / "two").mkdir()
    for name, samples in (("a.wav", quiet), ("b.wav", loud)):
        (tmp_path / "two" / name).write_bytes(sound(samples))
    rows = read(tmp_path / "two", window=45, level=900.0).rows.astype(float)
    np.testing.assert_allclose(np.sqrt((rows**2).mean(1)), 900, rtol=1e-3)
    assert np.corrcoef(rows)[0, 1] > 0.999
    (tmp_path / "two" / "c.wav").write_bytes(sound(0 * quiet))
    with pytest.raises(DataError, match=r"c.wav is silent"):
        read(tmp_path / "two", window=45, level=900.0)


def test_sounds_are_standardized_alike_at_all_times(
    tmp_path: Path, sounds: dict[str, np.ndarray]
) -> None:
    source = {"source": str(tmp_path / "all.zip"), "integers": "dequantize"}
    dataset = data.load_dataset(data_source(**source | {"window": 5}))
    (step,) = preprocessing(dataset, FlowRecipe(family="wavenet"))
    rows = dataset.noisy(dataset.train.rows, 1, 0)
    assert step["mean"] == pytest.approx(rows.mean(), abs=1)
    assert step["scale"] == pytest.approx(rows.std(), rel=1e-4)


def test_noise_is_added_to_every_value_anew(tmp_path: Path, sounds: dict[str, np.ndarray]) -> None:
    given = {"source": str(tmp_path / "all.zip"), "window": 5, "integers": "dequantize"}
    plain, noisy = (
        data.load_dataset(data_source(**given | {"noise": noise})) for noise in (0.0, 3.0)
    )
    assert plain.sound == noisy.sound == Sound(rate=8000, full_scale=32768)
    added = noisy.noisy(noisy.train.rows, 200, 0) - noisy.train.rows
    assert added.std() == pytest.approx(np.sqrt(9 + 1 / 12), rel=0.05)
    assert abs(plain.noisy(plain.train.rows, 5, 0) - plain.train.rows).max() <= 0.502  # of float32
    flow = zoo.build("nice", (5,))
    likelihood = Likelihood(flow, noisy, FitRecipe())
    chosen = torch.arange(likelihood.rows)
    first, second = (likelihood.batch(chosen, 0.0)[0] - likelihood.x for _ in range(2))
    assert float(first.std()) == pytest.approx(np.sqrt(9 + 1 / 12), rel=0.2)
    assert not torch.equal(first, second)


def test_samples_of_a_byte_are_around_zero(tmp_path: Path) -> None:
    samples = np.arange(0, 250, 5, dtype=np.uint8)
    (tmp_path / "a.wav").write_bytes(sound(samples))
    rows = read(tmp_path, window=50).rows
    np.testing.assert_array_equal(rows[0], samples.astype(int) - 128)


def test_pictures_of_a_folder_make_a_data_set(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (40, 4, 4), np.uint8)
    for i, pixels in enumerate(images):
        PIL.Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
    recipe = data_source(source=str(tmp_path), shape=[1, 4, 4], integers="dequantize")
    dataset = data.load_dataset(recipe)
    assert dataset.train.rows.shape == (32, 1, 4, 4)
    assert dataset.integer.all()
    (tmp_path / "39.png").unlink()
    assert data.load_dataset(recipe).sha256 != dataset.sha256


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not here")
def test_spoken_digits_are_read_from_their_zip() -> None:
    path = SHARED / "fsdd" / "fsdd_george_jackson_nicolas_theo.zip"
    table = read(path, labels="name", window=1024)
    assert table.rows.shape[1] == 1024
    assert table.labels is not None
    assert sorted(set(table.labels.tolist())) == [str(digit) for digit in range(10)]
