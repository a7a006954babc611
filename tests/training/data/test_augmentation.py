"""Training rows drawn anew at each step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests.helpers.recipes import call_bijecta
from training.config.data import data_source
from training.config.recipe import load_recipe
from training.data import load as data
from training.data.augmentation import bsds300_rows, mirrored
from training.errors import DataError, RecipeError

RNG = np.random.default_rng(0)


def test_every_second_image_is_turned_left_to_right() -> None:
    images = torch.arange(400 * 24.0).view(400, 2, 3, 4)
    torch.manual_seed(0)
    drawn = mirrored(images)
    turned = (drawn == images.flip(-1)).flatten(1).all(1)
    assert torch.equal(turned, ~(drawn == images).flatten(1).all(1))
    assert 150 < turned.sum() < 250


def all_eight(patches: torch.Tensor) -> list[torch.Tensor]:
    quarters = [patches.rot90(k, (-2, -1)) for k in range(4)]
    return [p.flatten(1) for q in quarters for p in (q, q.flip(-1))]


def test_patches_are_drawn_as_the_protocol_prepares_them() -> None:
    pixels = torch.from_numpy(RNG.integers(0, 256, (300, 64), dtype=np.uint8))
    first, second = (bsds300_rows(pixels) for _ in range(2))
    assert first.shape == (300, 63)
    assert first.dtype == torch.float32
    whole = torch.cat([first, -first.sum(1, keepdim=True)], 1) * 256
    # a patch less its mean, with noise in [0, 1): differences of pixels are within 1 of its own
    fits = [
        ((whole - whole[:, :1]) - (p - p[:, :1])).abs().amax(1) < 1.0001
        for p in all_eight(pixels.float().view(-1, 8, 8))
    ]
    ways = torch.stack(fits).sum(1)
    assert ways.sum() == 300
    assert (ways > 15).all()
    assert (ways < 65).all()
    assert (first != second).any(1).all()


def write_patches(folder: Path) -> Path:
    for part in ("train", "validation", "test"):
        np.save(folder / f"{part}.npy", RNG.integers(0, 256, (60, 8, 8), dtype=np.uint8))
    return folder


def test_held_out_rows_stay_as_published(tmp_path: Path) -> None:
    source = str(write_patches(tmp_path))
    plain = data.load_dataset(data_source(source=source, protocol="bsds300"))
    augmented = data.load_dataset(
        data_source(source=source, protocol="bsds300", augment=True, train_rows=9)
    )
    assert plain.augmentation is None
    assert augmented.augmentation is not None
    assert len(augmented.augmentation.sources) == len(augmented.train) == 9
    np.testing.assert_array_equal(plain.test.rows, augmented.test.rows)
    np.testing.assert_array_equal(plain.validation.rows, augmented.validation.rows)


RECIPE = """
[data]
source = "{source}"
augment = {augment}
{data}
[flow]
family = "{family}"
transforms = 2
hidden = [8]
[fit]
epochs = 2
threads = 1
"""
IMAGES = 'shape = [1, 4, 6]\nintegers = "dequantize"'
PATCHES = 'protocol = "bsds300"'


def weights(folder: Path, source: Path, **values: str) -> dict[str, torch.Tensor]:
    recipe = folder / "augmented.toml"
    recipe.write_text(RECIPE.format(source=source, **values))
    out = folder / f"run-{values['augment']}"
    done = call_bijecta("train", recipe, "--out", out, cwd=folder)
    assert done.returncode == 0, done.stderr
    with safe_open(out / "weights.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


@pytest.mark.parametrize(("family", "rows"), [("glow", IMAGES), ("maf", PATCHES)])
def test_training_draws_its_rows(tmp_path: Path, family: str, rows: str) -> None:
    source = write_patches(tmp_path)
    if family == "glow":
        source = tmp_path / "images.npy"
        np.save(source, RNG.integers(0, 256, (60, 24)))
    plain, augmented = (
        weights(tmp_path, source, family=family, data=rows, augment=augment)
        for augment in ("false", "true")
    )
    assert any(not torch.equal(plain[name], augmented[name]) for name in plain)


def test_what_cannot_be_augmented_is_refused(tmp_path: Path) -> None:
    rows = tmp_path / "rows.npy"
    np.save(rows, RNG.normal(size=(50, 4)))
    with pytest.raises(DataError, match=r"shape is \[channels, height, width\], got shape \[4\]"):
        data.load_dataset(data_source(source=str(rows), augment=True))
    np.save(tmp_path / "miniboone.npy", RNG.normal(size=(50, 43)))
    source = str(tmp_path / "miniboone.npy")
    with pytest.raises(DataError, match="folder of patches of 'bsds300'"):
        data.load_dataset(data_source(source=source, protocol="miniboone", augment=True))
    recipe = tmp_path / "iterative.toml"
    family = "iterative-gaussianization"
    recipe.write_text(
        f'[data]\nsource = "{rows}"\naugment = true\n[flow]\nfamily = "{family}"\ntransforms = 2\n'
    )
    with pytest.raises(RecipeError, match="is for steps by gradients"):
        load_recipe(str(recipe))
