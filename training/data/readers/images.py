"""Reading images, C × H × W bytes a row: CIFAR-10, SVHN, and folders of pictures."""

from pathlib import Path

import numpy as np
import PIL.Image
import scipy.io

from training.data.readers.base import Table, Wanted, array_table
from training.errors import DataError

CIFAR_SHAPE = (3, 32, 32)

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def read_cifar(path: Path, wanted: Wanted) -> Table:
    """A batch of CIFAR-10's binary version; its labels are named `label`.

    Each image is a byte of its class and 3 × 32 × 32 bytes (Krizhevsky 2009).
    """
    content = np.fromfile(path, np.uint8)
    each = 1 + int(np.prod(CIFAR_SHAPE))
    if content.size == 0 or content.size % each:
        raise ValueError(f"expected images of {each} bytes each, got {content.size} bytes")
    rows = content.reshape(-1, each)
    images = rows[:, 1:].reshape(-1, *CIFAR_SHAPE)
    return array_table(images, path, wanted, {"label": rows[:, 0]})


def read_svhn(path: Path, wanted: Wanted) -> Table:
    """Cropped digits of SVHN, `X` of H × W × C × N and `y` (Netzer et al. 2011); labels are `y`.

    A zero, which the file numbers 10, has the label 0.
    """
    content = scipy.io.loadmat(path)
    if missing := {"X", "y"} - content.keys():
        raise ValueError(f"it holds no {' and no '.join(sorted(missing))}")
    images, labels = content["X"], content["y"].ravel() % 10
    if images.ndim != 4 or images.shape[3] != len(labels):
        raise ValueError(f"{len(labels)} labels are not those of images of shape {images.shape}")
    return array_table(images.transpose(3, 2, 0, 1), path, wanted, {"y": labels})


def read_pictures(path: Path, wanted: Wanted) -> Table:
    """All pictures of a folder and of the folders in it, by name; labels are `folder`.

    Raises:
        DataError: pictures of several sizes or kinds; the first that differs is named.
    """
    paths = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES)
    images = [_picture(picture) for picture in paths]
    for image, picture in zip(images, paths, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{picture} has the shape {image.shape} (channels, height, width), {paths[0]} has "
                f"{images[0].shape}: a flow models images of one shape; crop or scale them first"
            )
    folders = np.array([str(picture.parent.relative_to(path)) for picture in paths])
    return array_table(np.stack(images), path, wanted, {"folder": folders})


def _picture(path: Path) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """C × H × W: one channel of grey, or three of colour; what is transparent is dropped."""
    try:
        with PIL.Image.open(path) as opened:
            grey = opened.mode in ("1", "L", "LA", "I;16")
            pixels = np.asarray(opened.convert("L" if grey else "RGB"))
    except (OSError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable picture: {error}") from None
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
