"""Sounds as answers: from the files that a flow was trained on to what a client can play."""

import io
import wave
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.bundle import files as bundle
from tests.helpers.http import ask_npy
from tests.helpers.recipes import call_bijecta
from tests.helpers.servers import Serve

RECIPE = """
[data]
window = 24
whole = true
level = 2000
noise = 20
labels = "name"
integers = "dequantize"

[flow]
family = "parallel-wavenet"
transforms = 1
hidden = [4, 4]

[fit]
epochs = 1
"""

RATE = 8000
QUERY = {"n": "3", "seed": "5", "context": "1"}


@pytest.fixture(scope="module")
def served(serve: Serve, store: Path, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    """A flow of tiny sounds, beside one of rows that are none."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    (folder / "wav").mkdir()
    for i in range(40):
        with wave.open(str(folder / "wav" / f"{i % 2}_{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(rng.integers(-9000, 9000, 20).astype("<i2").tobytes())
    (folder / "tones.toml").write_text(RECIPE)
    for command in (
        ("train", folder / "tones.toml", "--data", folder / "wav", "--out", folder / "tones"),
        ("export", folder / "tones", "--store", folder / "store"),
    ):
        done = call_bijecta(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
    (folder / "store" / "moons-maf").symlink_to(store / "moons-maf")
    manifest = bundle.read(folder / "store" / "tones" / "1")
    assert manifest.sound is not None
    assert (manifest.sound.rate, manifest.sound.full_scale) == (RATE, 2**15)
    assert manifest.data.noise == 20
    assert manifest.held_out.bits_per_dim is None
    return serve("--store", folder / "store").client


def played(answer: httpx.Response) -> np.ndarray:
    assert answer.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth()) == (1, 2)
        assert sound.getframerate() == RATE
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2")


def test_samples_are_heard_as_they_are_read(served: httpx.Client) -> None:
    query = QUERY | {"model": "tones"}
    answer = served.post("/sample", params=query, headers={"accept": "audio/wav"})
    rows, _ = ask_npy(served, "/sample", None, **query)
    assert answer.headers["x-bijecta-seed"] == "5"
    np.testing.assert_array_equal(played(answer), np.rint(rows.ravel()).clip(-(2**15), 2**15 - 1))
    body = {"model": "tones", "n": 3, "seed": 5, "context": [["1"]] * 3}
    same = served.post("/sample", json=body, headers={"accept": "audio/wav"})
    assert same.content == answer.content


def test_what_is_too_loud_is_cut_off(served: httpx.Client) -> None:
    z = np.full((1, 24), 50.0, np.float32)
    body = {"model": "tones", "z": z.tolist(), "context": [["1"]]}
    answer = served.post("/decode", json=body, headers={"accept": "audio/wav"})
    assert played(answer).max() == 2**15 - 1


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("sample", {"model": "moons-maf", "n": 1}, "rows of moons-maf are no sounds"),
        ("decode", {"model": "moons-maf", "z": [[0, 0]]}, "rows of moons-maf are no sounds"),
        ("log_prob", {"model": "tones", "x": [[0.0] * 24], "context": [["1"]]}, "holds x"),
        ("sample?output=log_prob", {"model": "tones", "n": 1, "context": [["1"]]}, "holds x"),
    ],
)
def test_what_is_no_sound_is_not_acceptable(
    served: httpx.Client, path: str, body: dict[str, object], words: str
) -> None:
    answer = served.post(f"/{path}", json=body, headers={"accept": "audio/wav"})
    assert answer.status_code == 406
    assert answer.json()["type"] == "urn:bijecta:not-acceptable"
    assert words in answer.json()["detail"]
