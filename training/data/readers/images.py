"""Reading images, C × H × W bytes a row: CIFAR-10, SVHN, and folders of pictures."""

from pathlib import Path

import numpy as np
import PIL.Image
import scipy.io

from training.config import ImageSource
from training.data.readers.base import Table, array_table
from training.errors import DataError

CIFAR_SHAPE = (3, 32, 32)

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
    images = [_picture(picture) for picture in paths]
    for image, picture in zip(images, paths, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{picture} has the shape {image.shape} (channels, height, width), {paths[0]} has "
                f"{images[0].shape}: a flow models images of one shape; crop or scale them first"
            )
    folders = np.array([str(picture.parent.relative_to(path)) for picture in paths])
    return array_table(np.stack(images), path, source, {"folder": folders})


def _picture(path: Path) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """C × H × W: one channel of grey, or three of colour; transparency is dropped."""
    try:
        with PIL.Image.open(path) as opened:
            grey = opened.mode in ("1", "L", "LA", "I;16")
            pixels = np.asarray(opened.convert("L" if grey else "RGB"))
    except (OSError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable picture: {error}") from None
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
