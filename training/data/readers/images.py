"""Reading images, C × H × W bytes a row: CIFAR-10, SVHN, and folders of pictures."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import scipy.io
from numpy.typing import NDArray

from training.config import ImageSource
from training.data.readers.base import Part, Table, array_table
from training.errors import DataError
from training.memory import check_fits

CIFAR_SHAPE = (3, 32, 32)

# Pillow's modes of one channel of 16 or 32 bits or of floats, which are read as they are.
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def read_cifar(path: Path, source: ImageSource) -> Table:
    """A batch of CIFAR-10's binary version; its labels are named `label`.

    Each image is a byte of its class and 3 × 32 × 32 bytes (Krizhevsky 2009).
    """
    content = np.fromfile(path, np.uint8)
    bytes_per_image = 1 + int(np.prod(CIFAR_SHAPE))
    if content.size == 0 or content.size % bytes_per_image:
        raise ValueError(
            f"expected images of {bytes_per_image} bytes each, got {content.size} bytes"
        )
    rows = content.reshape(-1, bytes_per_image)
    images = rows[:, 1:].reshape(-1, *CIFAR_SHAPE)
    return array_table(images, path, source, {"label": rows[:, 0]})


def read_svhn(path: Path, source: ImageSource) -> Table:
    """Cropped digits of SVHN, `X` of H × W × C × N and `y` (Netzer et al. 2011); labels are `y`.

    The file labels the digit zero 10; here its label is 0.
    """
    for name, shape, _ in scipy.io.whosmat(path):  # compressed: sizes are in its headers
        check_fits(path, f"an array {name!r} of shape {shape}", math.prod(shape))
    content = scipy.io.loadmat(path)
    if missing := {"X", "y"} - content.keys():
        raise ValueError(f"it holds no {' and no '.join(sorted(missing))}")
    images, labels = content["X"], content["y"].ravel() % 10
    if images.ndim != 4 or images.shape[3] != len(labels):
        raise ValueError(f"{len(labels)} labels are not those of images of shape {images.shape}")
    return array_table(images.transpose(3, 2, 0, 1), path, source, {"y": labels})


def read_pictures(path: Path, source: ImageSource) -> Table:
    """All pictures of a folder and of the folders in it, sorted by name; labels are `folder`.

    Raises:
        DataError: pictures that differ in size or channels; the first that differs is named.
    """
    paths = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise ValueError("it holds neither pictures nor sounds")
    try:
        with PIL.Image.open(paths[0]) as first:
            pixels = math.prod(first.size) * len(first.getbands())
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
        pixels = 0  # said when it is read
    check_fits(path, f"{len(paths)} pictures like {paths[0].name}", pixels * len(paths))
    images = [_picture(picture) for picture in paths]
    for image, picture in zip(images, paths, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{picture} has the shape {image.shape} (channels, height, width), {paths[0]} has "
                f"{images[0].shape}: a flow models images of one shape; crop or scale them first"
            )
        if image.dtype != images[0].dtype:
            raise DataError(
                f"{picture} holds pixels of type {image.dtype}, {paths[0]} of {images[0].dtype}: "
                "a flow models images of one kind; convert them first"
            )
    folders = np.array([str(picture.parent.relative_to(path)) for picture in paths])
    table = array_table(np.stack(images), path, source, {"folder": folders})
    part = Part(path, len(paths), lambda row: str(paths[row].relative_to(path)))
    return replace(table, parts=[part])


def _picture(path: Path) -> NDArray[np.generic]:
    """C × H × W, upright: one channel of grey of any depth, or three of colour.

    Raises:
        DataError: it cannot be read, or not without a loss; the file and the reason are named.
    """
    try:
        with PIL.Image.open(path) as opened:
            _refuse_losses(opened, path)
            upright = PIL.ImageOps.exif_transpose(opened)
            pixels = np.asarray(_in_channels(upright, path))
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable picture: {error}") from None
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.reshape(*native.shape[:2], -1).transpose(2, 0, 1)


def _refuse_losses(picture: PIL.Image.Image, path: Path) -> None:
    """Refuse what Pillow itself would leave out."""
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        raise DataError(f"{path} holds {frames} pictures: save each as a file of its own")
    deep = any(";16" in str(tile) for tile in getattr(picture, "tile", ()))
    if deep and picture.mode not in DEEP_MODES:
        raise DataError(
            f"{path} has 16 bits for each of several channels, of which only 8 could be read: save "
            "it with 8 bits, or as .npy"
        )


def _in_channels(picture: PIL.Image.Image, path: Path) -> PIL.Image.Image:
    """The same picture in grey or in red, green and blue, if that loses nothing."""
    if picture.mode in ("L", "RGB", *DEEP_MODES):
        return picture
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "P" and "transparency" not in picture.info:
        return picture.convert("RGB")
    if picture.mode in ("P", "LA", "PA", "RGBA"):
        grey = picture.mode == "LA"
        *_, alpha = picture.convert("RGBA").split()
        if alpha.getextrema() != (255, 255):
            raise DataError(
                f"{path} is partly transparent (mode {picture.mode}): draw it on a background first"
            )
        return picture.convert("L" if grey else "RGB")
    raise DataError(
        f"{path} has the mode {picture.mode}: save it in grey or in red, green and blue"
    )
