"""Pictures of every mode, sounds of every sample format: read as they are, or refused in words."""

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from scipy.io import wavfile

from service.bundle import Sound
from tests.helpers.sources import read
from training.errors import DataError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 6, 4)).astype(np.uint8)
DEEP = RNG.integers(0, 2**16, (4, 6))


def saved(folder: Path, picture: PIL.Image.Image, ending: str) -> Path:
    (folder / "pictures").mkdir(exist_ok=True)
    picture.save(folder / "pictures" / f"one.{ending}")
    return folder / "pictures"


# the mode, its pixels, how it is saved, and what is read: H × W or H × W × 3
EXACT: dict[str, tuple[PIL.Image.Image, str, NDArray[np.generic]]] = {
    "1": (
        PIL.Image.fromarray(BYTES[..., 0] > 99).convert("1"),
        "png",
        np.where(BYTES[..., 0] > 99, 255, 0),
    ),
    "L": (PIL.Image.fromarray(BYTES[..., 0]), "png", BYTES[..., 0]),
    "RGB": (PIL.Image.fromarray(BYTES[..., :3]), "png", BYTES[..., :3]),
    "I;16": (PIL.Image.fromarray(DEEP.astype(np.uint16)), "png", DEEP),
    "I": (PIL.Image.fromarray((DEEP * 30_000).astype(np.int32)), "tiff", DEEP * 30_000),
    "F": (PIL.Image.fromarray((DEEP / 7).astype(np.float32)), "tiff", (DEEP / 7).astype("f4")),
}
PALETTE = PIL.Image.fromarray(BYTES[..., :3]).quantize(8)
EXACT["P"] = (PALETTE, "png", np.asarray(PALETTE.convert("RGB")))
OPAQUE = PIL.Image.fromarray(np.dstack([BYTES[..., :3], np.full((4, 6), 255, np.uint8)]))
EXACT["RGBA"] = (OPAQUE, "png", BYTES[..., :3])
EXACT["LA"] = (OPAQUE.convert("LA"), "png", np.asarray(OPAQUE.convert("LA"))[..., 0])


@pytest.mark.parametrize("mode", EXACT)
def test_pictures_are_read_as_they_are(tmp_path: Path, mode: str) -> None:
    picture, ending, pixels = EXACT[mode]
    rows = read(saved(tmp_path, picture, ending)).rows
    expected = pixels[..., None] if pixels.ndim == 2 else pixels
    np.testing.assert_array_equal(rows[0], expected.transpose(2, 0, 1).ravel())


def deep_colours() -> bytes:
    """A PNG of 16 bits in each of three channels, which Pillow reads as 8."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    lines = b"".join(b"\0" + RNG.bytes(3 * 2 * 6) for _ in range(4))
    header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


LOSSES: dict[str, tuple[PIL.Image.Image, str, str]] = {
    "half transparent": (PIL.Image.fromarray(BYTES, "RGBA"), "png", r"transparent \(mode RGBA\)"),
    "drawn in alpha": (
        PIL.Image.fromarray(BYTES[..., :2], "LA"),
        "png",
        r"transparent \(mode LA\): draw it on a background",
    ),
    "CMYK": (PIL.Image.fromarray(BYTES, "CMYK"), "tiff", "has the mode CMYK: save it in grey or"),
    "LAB": (PIL.Image.fromarray(BYTES[..., :3], "LAB"), "tiff", "has the mode LAB"),
}


@pytest.mark.filterwarnings("ignore:'mode' parameter")
@pytest.mark.parametrize("case", LOSSES)
def test_pictures_that_would_lose_something_are_refused_by_name(tmp_path: Path, case: str) -> None:
    picture, ending, words = LOSSES[case]
    with pytest.raises(DataError, match=rf"one.{ending} .*{words}"):
        read(saved(tmp_path, picture, ending))


def test_deep_colours_and_several_pictures_in_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(deep_colours())
    with pytest.raises(DataError, match=r"one.png has 16 bits for each of several channels"):
        read(tmp_path)
    (tmp_path / "one.png").unlink()
    frames = [PIL.Image.fromarray(BYTES[..., i]) for i in range(3)]
    frames[0].save(tmp_path / "one.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=r"one.gif holds 3 pictures"):
        read(tmp_path)


def test_pictures_of_several_depths_are_refused(tmp_path: Path) -> None:
    PIL.Image.fromarray(DEEP.astype(np.uint16)).save(tmp_path / "a.png")
    PIL.Image.fromarray(BYTES[..., 0]).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b.png holds pixels of type uint8, .*a.png of uint16"):
        read(tmp_path)


def test_pictures_stand_upright(tmp_path: Path) -> None:
    turned = PIL.Image.Exif()
    turned[0x0112] = 6  # the camera was turned by 90°
    upright = PIL.Image.fromarray(BYTES[..., 0])
    upright.rotate(90, expand=True).save(tmp_path / "a.png", exif=turned)
    upright.save(tmp_path / "b.png")
    first, second = read(tmp_path).rows
    np.testing.assert_array_equal(first, second)


SAMPLES = RNG.normal(0, 0.1, 40)
# as scipy writes them; what is read, and its full scale
WAVES: dict[str, tuple[NDArray[np.generic], NDArray[np.generic], float]] = {
    "8 bits": ((128 + 99 * SAMPLES).astype("u1"), (128 + 99 * SAMPLES).astype("u1") - 128.0, 128),
    "16 bits": ((9e3 * SAMPLES).astype("i2"), (9e3 * SAMPLES).astype("i2"), 2.0**15),
    "32 bits": ((9e8 * SAMPLES).astype("i4"), (9e8 * SAMPLES).astype("i4"), 2.0**31),
    "floats": (SAMPLES.astype("f4"), SAMPLES.astype("f4"), 1.0),
    "doubles": (SAMPLES, SAMPLES, 1.0),
}


@pytest.mark.parametrize("case", WAVES)
def test_sounds_are_read_in_their_sample_format(tmp_path: Path, case: str) -> None:
    written, expected, full_scale = WAVES[case]
    wavfile.write(tmp_path / "a.wav", 8000, written)
    table = read(tmp_path, window=40)
    np.testing.assert_array_equal(table.rows[0], expected)
    assert table.sound == Sound(rate=8000, full_scale=full_scale)


def test_extensible_and_24_bit_sounds_are_read(tmp_path: Path) -> None:
    samples = (1e6 * SAMPLES).astype("<i4")
    three_bytes = samples.view("u1").reshape(-1, 4)[:, :3].tobytes()
    plain = (9e3 * SAMPLES).astype("<i2")
    for bits, data, expected in ((24, three_bytes, samples), (16, plain.tobytes(), plain)):
        path = tmp_path / f"{bits}"
        path.mkdir()
        (path / "a.wav").write_bytes(extensible(data, bits))
        np.testing.assert_array_equal(read(path, window=40).rows[0], expected)


def extensible(data: bytes, bits: int) -> bytes:
    """A sound of WAVE_FORMAT_EXTENSIBLE, as recorders write more than 16 bits."""
    size = bits // 8
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    head = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 8000 * size, size, bits, 22, bits, 4) + guid
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_other_formats_are_refused_in_words(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 8000, np.zeros(40, "i2"))
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[20] = 6  # A-law
    (tmp_path / "a.wav").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"a.wav is not a readable .wav file: .*ALAW"):
        read(tmp_path, window=10)
