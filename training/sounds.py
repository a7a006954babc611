"""Reading waveforms: folders and zips of `.wav` files, as windows of samples."""

import io
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError
from training.table import Table, Wanted, array_table

# by bytes of a sample; 8-bit samples are unsigned, all others signed
SAMPLES = {1: "u1", 2: "<i2", 4: "<i4"}


def read_sounds(path: Path, wanted: Wanted) -> Table:
    """Windows of all sounds, one after the other in each, in whole sample steps around zero.

    What is left at the end of a sound and fills no window is dropped. Labels are `name`, a file's
    name up to its first `_` or its ending, and `folder`.

    Raises:
        DataError: no length of the windows, or sounds of several rates, channels or widths.
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
                f"{file} has {found}, sounds before it {kind}: a flow models sounds of one kind"
            )
        kind = found
        count = len(samples) // wanted.window
        windows.append(samples[: count * wanted.window].reshape(count, wanted.window))
        names += [file.stem.partition("_")[0]] * count
        folders += [str(file.parent)] * count
    if not names:
        raise DataError(f"{path} holds no sound as long as a window of {wanted.window} samples")
    apart = {"name": np.array(names), "folder": np.array(folders)}
    return array_table(np.concatenate(windows), path, wanted, apart)


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


def _samples(file: Path, content: bytes) -> tuple[NDArray[np.generic], str]:
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
    return samples, f"{rate} Hz and {8 * width} bits"
