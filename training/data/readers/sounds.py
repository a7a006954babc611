"""Reading waveforms: folders and zips of `.wav` files, as windows of samples."""

import io
import math
import struct
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from service.bundle import Sound
from training.config import SoundSource
from training.data.readers.base import Part, Table, array_table
from training.errors import DataError
from training.memory import check_fits

Samples = NDArray[np.signedinteger | np.floating]


class _SampleFormat(NamedTuple):
    rate: int
    bits: int
    floating: bool

    def __str__(self) -> str:
        return f"{self.rate} Hz and {self.bits} bits{' (floats)' if self.floating else ''}"

    @property
    def full_scale(self) -> float:
        """The largest sample: floats go from −1 to 1."""
        return 1.0 if self.floating else 2.0 ** (self.bits - 1)


def read_sounds(path: Path, source: SoundSource) -> Table:
    """Windows of all sounds, in their sample steps around zero; floats as they are.

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
    part = Part(path, len(names), lambda row: f"window {row}, a sound named {names[row]!r}")
    sound = Sound(rate=first_format.rate, full_scale=first_format.full_scale)
    return replace(table, sound=sound, parts=[part])


def _waves(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.suffix.lower() == ".wav")


def _sounds(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Each sound's path within the folder or zip, and its bytes, sorted by name."""
    if path.is_dir():
        for file in sorted(_waves(path)):
            yield file.relative_to(path), file.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        sizes = [i.file_size for i in archive.infolist() if i.filename.lower().endswith(".wav")]
        check_fits(path, f"{len(sizes)} sounds", sum(sizes))
        for name in sorted(archive.namelist()):
            if name.lower().endswith(".wav"):
                yield Path(name), archive.read(name)


def _whole(samples: Samples, window: int, fade: int) -> Samples:
    """A sound cut to the window or, if shorter, faded at its end and padded with silence."""
    if (silent := window - len(samples)) <= 0:
        return samples[:window]
    end = min(fade, len(samples))
    ramp = np.concatenate([np.ones(len(samples) - end), np.arange(end, 0, -1) / (end + 1)])
    return np.pad(np.rint(samples * ramp).astype(samples.dtype), (0, silent))


def _levelled(file: Path, samples: Samples, level: float) -> Samples:
    """A sound scaled so that its root mean square is the level."""
    loudness = math.sqrt(float(np.square(samples.astype(float)).mean())) if len(samples) else 0.0
    if loudness == 0:
        raise DataError(f"{file} is silent: no factor brings it to a level of {level:g}")
    scaled = samples * (level / loudness)
    if samples.dtype.kind == "f":
        return scaled.astype(samples.dtype)
    limits: np.iinfo[Any] = np.iinfo(samples.dtype)
    levelled: Samples = np.clip(np.rint(scaled), limits.min, limits.max).astype(samples.dtype)
    return levelled


def _samples(file: Path, content: bytes) -> tuple[Samples, _SampleFormat]:
    """The samples of a sound of one channel, and their rate and width."""
    channels, bits = _channels_and_bits(content)
    if channels != 1:
        raise DataError(f"{file} has {channels} channels of {bits} bits: expected one channel")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # other chunks than of samples
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)
            rate, samples = wavfile.read(io.BytesIO(content))
    except (ValueError, wavfile.WavFileWarning, struct.error, ArithmeticError) as error:
        raise DataError(f"{file} is not a readable .wav file: {error}") from None
    floating = samples.dtype.kind == "f"
    if samples.dtype == np.uint8:  # all others are signed
        samples = samples.astype("i2") - 128
    elif bits == 24:  # read as the upper 24 of 32
        samples = samples >> 8
    if bits not in (8, 16, 24, 32) and not floating:
        raise DataError(f"{file} has samples of {bits} bits: expected 8, 16, 24, 32 or floats")
    return samples.astype(samples.dtype.newbyteorder("=")), _SampleFormat(rate, bits, floating)


def _channels_and_bits(content: bytes) -> tuple[int, int]:
    """Channels, and bits of a sample, as the chunk `fmt ` says; one of none where there is none."""
    start = content.find(b"fmt ")
    if start < 0 or len(content) < start + 24:
        return 1, 0
    channels, _, _, _, bits = struct.unpack_from("<HIIHH", content, start + 10)
    return channels, bits
