"""Rows of images as answers: one sheet of pictures in PNG format (ISO/IEC 15948), of 8 bits.

A file is a signature and chunks, and zlib compresses what they hold. Pillow would write the same,
and brings 7 MB of readers for forty formats into what serves; the tests read sheets with it.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest, Picture
from service.codecs.base import NPY_TYPE, PNG_TYPE, Codec
from service.errors import NotAcceptableError
from service.operations import Answer, FlowRequest, InterpolateRequest
from service.types import Float32

Bytes = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2}
"""Of so many channels: grey; red, green and blue."""
WHITE = 255

GAP = 2
"""White pixels between two pictures."""

# Of a sheet, which is to be looked at: a strip of all takes 40 MB to be written.
MAX_PIXELS = 2**22
MAX_SIDE = 2**15 - 1
"""More, many programs do not draw."""

# Values that become bytes in one go: on the way they take eight times the room.
VALUES_AT_ONCE = 2**18


class PngCodec(Codec):
    """PNG: the rows x of a model of images on one sheet; it is only written."""

    media_type = PNG_TYPE
    has_reasons = False

    def refusal(
        self, schema: type[FlowRequest], manifest: AnyManifest, output: str | None
    ) -> str | None:
        """Only x of a model of images is a picture."""
        if manifest.picture is None:
            return (
                f"{PNG_TYPE}: rows of {manifest.name} are no pictures, which have one channel or "
                "three, and values of a known range"
            )
        if "x" not in schema.outputs or output not in (None, "x"):
            return f"{PNG_TYPE} holds x, of the questions that answer with x"
        if not Sheet.of(manifest.picture, 1, is_path=False).fits:
            return f"{PNG_TYPE}: a picture of {manifest.name} is larger than a sheet"
        return None

    def too_large(self, manifest: AnyManifest, request: FlowRequest) -> str | None:
        """What needs a larger sheet."""
        assert manifest.picture is not None  # or `refusal` had said so
        if isinstance(request, InterpolateRequest):
            sheet = Sheet.of(manifest.picture, request.steps, is_path=True)
        else:
            sheet = Sheet.of(manifest.picture, request.row_count, is_path=False)
        if sheet.fits:
            return None
        _, height, width = manifest.picture.shape
        return (
            f"{PNG_TYPE}: a sheet has {MAX_PIXELS} pixels, and {MAX_SIDE} along a side, at most: "
            f"these are too many pictures of {width} × {height} pixels for one; ask for fewer, or "
            f"for {NPY_TYPE}"
        )

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """The sheet."""
        return b"".join(self.pieces(manifest, answer, output)[1])

    def pieces(
        self, manifest: AnyManifest, answer: Answer, output: str | None
    ) -> tuple[int | None, Iterator[bytes]]:
        """The same bytes, a row of pictures at a time."""
        assert manifest.picture is not None  # or `refusal` had said so
        return None, _written(manifest.picture, answer.arrays["x"], answer.is_path)


class Sheet(NamedTuple):
    """Where pictures lie: row by row, with gaps between them.

    Args:
        columns: pictures of a row.
        width, height: in pixels.
    """

    columns: int
    width: int
    height: int

    @classmethod
    def of(cls, picture: Picture, n: int, is_path: bool) -> "Sheet":
        """The sheet of n pictures: about a square, or one strip of a path."""
        taller, wider = (side + GAP for side in picture.shape[1:])
        # whole numbers alone: n may be larger than any float
        columns = n if is_path else max(1, min(n, 1 + math.isqrt(max(n * taller // wider - 1, 0))))
        rows = -(-n // max(columns, 1))
        return cls(columns, columns * wider - GAP, rows * taller - GAP)

    @property
    def fits(self) -> bool:
        """Whether it is within the limits."""
        return max(self.width, self.height) <= MAX_SIDE and self.width * self.height <= MAX_PIXELS


def _written(picture: Picture, rows: Float32, is_path: bool) -> Iterator[bytes]:
    """The file of a sheet: its head, then each row of pictures, then its end."""
    if not len(rows):
        raise NotAcceptableError(f"{PNG_TYPE}: there is no sheet of no pictures")
    sheet = Sheet.of(picture, len(rows), is_path)
    colours = COLOUR_TYPES[picture.shape[0]]
    head = struct.pack(">IIBBBBB", sheet.width, sheet.height, 8, colours, 0, 0, 0)
    yield SIGNATURE + _chunk(b"IHDR", head)
    compressor = zlib.compressobj()
    for first in range(0, len(rows), sheet.columns):
        strip = _strip(picture, rows[first : first + sheet.columns], sheet)
        lines = strip[GAP:] if first == 0 else strip
        yield _chunk(b"IDAT", compressor.compress(lines.data))
    yield _chunk(b"IDAT", compressor.flush()) + _chunk(b"IEND", b"")


def _strip(picture: Picture, rows: Float32, sheet: Sheet) -> Bytes:
    """The lines of a row of pictures below a gap, each after a zero, which says: not filtered."""
    channels, height, width = picture.shape
    drawn = np.full((height, sheet.columns, width + GAP, channels), WHITE, np.uint8)
    step = max(1, VALUES_AT_ONCE // (channels * height * width))
    for first in range(0, len(rows), step):
        pixels = _pixels(picture, rows[first : first + step])
        drawn[:, first : first + pixels.shape[1], :width] = pixels
    lines = np.full((GAP + height, 1 + channels * sheet.width), WHITE, np.uint8)
    lines[:, 0] = 0
    lines[GAP:, 1:] = drawn.reshape(height, -1)[:, : channels * sheet.width]
    return lines


def _pixels(picture: Picture, rows: Float32) -> Bytes:
    """Rows as bytes: height × N × width × channels; white where a row has no answer."""
    values = rows.reshape(len(rows), -1).astype(np.float64)
    low, high = np.asarray(picture.low), np.asarray(picture.high)
    if picture.is_whole:
        values = np.round(values)  # as `quantize` does
    darkest, brightest = low.min(), high.max()
    scaled = (np.clip(values, low, high) - darkest) * (WHITE / ((brightest - darkest) or 1.0))
    shades = np.where(np.isnan(scaled), WHITE, np.rint(scaled)).astype(np.uint8)
    return shades.reshape(-1, *picture.shape).transpose(2, 0, 3, 1)


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a file: how long it is, what, its content and a checksum."""
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
