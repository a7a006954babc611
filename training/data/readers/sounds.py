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
from training.data.readers.base import Table, Wanted, array_table
from training.errors import DataError

# by bytes of a sample; 8-bit samples are unsigned, all others signed
SAMPLES = {1: "u1", 2: "<i2", 4: "<i4"}


class _Kind(NamedTuple):
    rate: int
    bits: int

    def __str__(self) -> str:
        return f"{self.rate} Hz and {self.bits} bits"


def read_sounds(path: Path, wanted: Wanted) -> Table:
    """Windows of all sounds, in whole sample steps around zero.

    Where whole sounds are wanted, a row is the beginning of one; where it is shorter it fades into
    silence. Else windows follow one another in each sound, and what is left at its end and fills
    none is dropped. Labels are `name`, a file's name up to its first `_` or its ending, and
    `folder`.

    Raises:
        DataError: no length of the windows, sounds of several rates, channels or widths, or
            silence that should have a level.
    """
    if wanted.window is None:
        raise DataError(
            f"{path} holds sounds: set window = SAMPLES, the length of a row, in [data]"
        )
    windows, names, folders = [], [], []
    kind = None
    for file, content in _sounds(path):
        samples, found = _samples(file, content)
        if kind not in (None, found):
            raise DataError(
                f"{file} is a sound of {found}, those before it of {kind}: a flow models sounds "
                "of one kind"
            )
        kind = found
        if wanted.level is not None:
            samples = _levelled(file, samples, wanted.level)
        if wanted.whole:
            samples = _whole(samples, wanted.window, wanted.fade)
        count = len(samples) // wanted.window
        windows.append(samples[: count * wanted.window].reshape(count, wanted.window))
        names += [file.stem.partition("_")[0]] * count
        folders += [str(file.parent)] * count
    if kind is None or not names:
        raise DataError(f"{path} holds no sound as long as a window of {wanted.window} samples")
    apart = {"name": np.array(names), "folder": np.array(folders)}
    table = array_table(np.concatenate(windows), path, wanted, apart)
    return replace(table, sound=Sound(rate=kind.rate, full_scale=2.0 ** (kind.bits - 1)))


def has_sounds(path: Path) -> bool:
    """Whether a folder holds sounds."""
    return any(_waves(path))


def _waves(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() == ".wav")


def _sounds(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Each sound's place within the folder or zip, and its bytes, by name."""
    if path.is_dir():
        for file in sorted(_waves(path)):
            yield file.relative_to(path), file.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.lower().endswith(".wav"):
                yield Path(name), archive.read(name)


def _whole(samples: NDArray[np.signedinteger], window: int, fade: int) -> NDArray[np.signedinteger]:
    """The beginning of a sound, or all of it, which falls off towards the silence that follows."""
    if (silent := window - len(samples)) <= 0:
        return samples[:window]
    end = min(fade, len(samples))
    ramp = np.concatenate([np.ones(len(samples) - end), np.arange(end, 0, -1) / (end + 1)])
    return np.pad(np.rint(samples * ramp).astype(samples.dtype), (0, silent))


def _levelled(
    file: Path, samples: NDArray[np.signedinteger], level: float
) -> NDArray[np.signedinteger]:
    """A sound as loud as wanted: its root mean square is the level."""
    loudness = math.sqrt(float(np.square(samples.astype(float)).mean())) if len(samples) else 0.0
    if loudness == 0:
        raise DataError(f"{file} is silent: no factor brings it to a level of {level:g}")
    scaled = np.rint(samples * (level / loudness))
    limits = np.iinfo(samples.dtype)
    levelled: NDArray[np.signedinteger] = np.clip(scaled, limits.min, limits.max)
    return levelled.astype(samples.dtype)


def _samples(file: Path, content: bytes) -> tuple[NDArray[np.signedinteger], _Kind]:
    """The samples of a sound of one channel, and what kind of sound it is."""
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
    return samples, _Kind(rate, 8 * width)
