"""Reading waveforms: folders and zips of `.wav` files, as windows of samples."""

import io
import math
import wave
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import Sound
from training.config import SoundSource
from training.data.readers.base import Table, array_table
from training.errors import DataError

# number types by the bytes of a sample; 8-bit samples are unsigned, all others signed
SAMPLES = {1: "u1", 2: "<i2", 4: "<i4"}


class _SampleFormat(NamedTuple):
    rate: int
    bits: int

    def __str__(self) -> str:
        return f"{self.rate} Hz and {self.bits} bits"


def read_sounds(path: Path, source: SoundSource) -> Table:
    """Windows of all sounds, in whole sample steps around zero.

    If the source asks for whole sounds, a row is the beginning of one; a shorter sound fades into
    silence. Otherwise windows follow one another in each sound, and a remainder shorter than a
    window is dropped. Labels are `name`, a file's name up to its first `_` or its ending, and
    `folder`.

    Raises:
        DataError: sounds that differ in rate or sample width, of several channels, none as long as
            a window, or silence that is to be scaled to a level.
    """
    windows, names, folders = [], [], []
    first_format = None
    for file, content in _sounds(path):
        samples, sample_format = _samples(file, content)
        if first_format not in (None, sample_format):
            raise DataError(
                f"{file} is a sound of {sample_format}, those before it of {first_format}: a flow "
                "models sounds of one kind"
            )
        first_format = sample_format
        if source.level is not None:
            samples = _levelled(file, samples, source.level)
        if source.whole:
            samples = _whole(samples, source.window, source.fade)
        count = len(samples) // source.window
        windows.append(samples[: count * source.window].reshape(count, source.window))
        names += [file.stem.partition("_")[0]] * count
        folders += [str(file.parent)] * count
    if first_format is None or not names:
        raise DataError(f"{path} holds no sound as long as a window of {source.window} samples")
    labels = {"name": np.array(names), "folder": np.array(folders)}
    table = array_table(np.concatenate(windows), path, source, labels)
    full_scale = 2.0 ** (first_format.bits - 1)
    return replace(table, sound=Sound(rate=first_format.rate, full_scale=full_scale))


def _waves(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() == ".wav")


def _sounds(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Each sound's path within the folder or zip, and its bytes, sorted by name."""
    if path.is_dir():
        for file in sorted(_waves(path)):
            yield file.relative_to(path), file.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith(".wav"):
                yield Path(name), archive.read(name)


def _whole(samples: NDArray[np.signedinteger], window: int, fade: int) -> NDArray[np.signedinteger]:
    """A sound cut to the window or, if shorter, faded at its end and padded with silence."""
    if (silent := window - len(samples)) <= 0:
        return samples[:window]
    end = min(fade, len(samples))
    ramp = np.concatenate([np.ones(len(samples) - end), np.arange(end, 0, -1) / (end + 1)])
    return np.pad(np.rint(samples * ramp).astype(samples.dtype), (0, silent))


def _levelled(
    file: Path, samples: NDArray[np.signedinteger], level: float
) -> NDArray[np.signedinteger]:
    """A sound scaled so that its root mean square is the level."""
    loudness = math.sqrt(float(np.square(samples.astype(float)).mean())) if len(samples) else 0.0
    if loudness == 0:
        raise DataError(f"{file} is silent: no factor brings it to a level of {level:g}")
    scaled = np.rint(samples * (level / loudness))
    limits = np.iinfo(samples.dtype)
    levelled: NDArray[np.signedinteger] = np.clip(scaled, limits.min, limits.max)
    return levelled.astype(samples.dtype)


def _samples(file: Path, content: bytes) -> tuple[NDArray[np.signedinteger], _SampleFormat]:
    """The samples of a sound of one channel, and their rate and width."""
    try:
        with wave.open(io.BytesIO(content)) as sound:
            channels, width, rate = (
                sound.getnchannels(),
                sound.getsampwidth(),
                sound.getframerate(),
            )
            frames = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise DataError(f"{file} is not a readable .wav file: {error}") from None
    if channels != 1 or width not in SAMPLES:
        raise DataError(
            f"{file} has {channels} channels of {8 * width} bits: expected one of 8, 16 or 32"
        )
    samples = np.frombuffer(frames, SAMPLES[width])
    if width == 1:
        samples = samples.astype("i2") - 128
    return samples, _SampleFormat(rate, 8 * width)
