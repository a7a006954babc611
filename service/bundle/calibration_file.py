"""The file of a detector's calibration, as npy: scores of normal rows."""

import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from service.bundle.errors import BundleError, printable
from service.bundle.manifests.detector import CALIBRATION, DetectorManifest
from service.bundle.regular_file import place, read_listed
from service.conformal import N_EXACT, Calibration
from service.types import Float64

MAX_CALIBRATION_BYTES = 2**26
"""Of scores, classes and counts of 2.8 million rows or blocks of rows; of values of columns."""

HEADER_BYTES = 128
"""Of an npy file of such an array."""

CALIBRATION_LEVELS = [i / 200 for i in range(201)]
"""Of the quantiles that a manifest states."""

T = TypeVar("T")

DTYPE = np.dtype("<f8")
HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '<f8', 'fortran_order': False, "
    rb"'shape': \((\d{1,10}),(?: (\d{1,10}))?\), \} *\n",
    re.DOTALL,
)


def read_calibration(folder: Path, manifest: DetectorManifest) -> Calibration | None:
    """The calibration of a detector; None where it has none.

    Args:
        folder: store/<name>/<version>.
        manifest: of this bundle.

    Raises:
        BundleError: the file is missing, larger than any calibration, or no such array; or it is
            of other rows or classes than the manifest says.
        UnreadableBundleError: it cannot be read now.
    """
    if manifest.calibration is None:
        return None
    stated, column = manifest.calibration.rows, manifest.class_column

    def made(array: Float64) -> Calibration:
        calibration = Calibration.from_array(array, column is not None)
        if calibration.rows != stated:
            raise ValueError(f"it is of {calibration.rows} rows, the manifest says {stated}")
        if calibration.has_classes != (column is not None):
            raise ValueError("it has classes, or none, unlike the manifest")
        if calibration.has_classes and column is not None:
            known = manifest.context[column].classes if manifest.context else None
            if unknown := sorted(set(calibration.class_codes) - set(known or ())):
                raise ValueError(f"it has class {unknown[0]:g}, unlike the context")
        return calibration

    return read_array(folder, manifest, CALIBRATION, made)


def calibration_of(scores: Float64, classes: Float64 | None = None) -> Calibration:
    """The calibration by scores in any order, of which the file is not too large.

    Of each of up to 21 classes `N_EXACT` scores are kept, of more classes fewer of each.

    Args:
        scores: of each row.
        classes: of each row; None where there is one class.
    """
    numbers = (MAX_CALIBRATION_BYTES - HEADER_BYTES) // DTYPE.itemsize
    number = 1 if classes is None else len(np.unique(classes))
    return Calibration.of(scores, classes, min(N_EXACT, numbers // (3 * number)))


def calibration_bytes(calibration: Calibration) -> bytes:
    """The content of the file."""
    return bytes_of(calibration.to_array())


def quantiles(values: Float64) -> list[float | None]:
    """The quantiles of these at `CALIBRATION_LEVELS`, for people; None, which JSON has, for ±∞."""
    with np.errstate(invalid="ignore"):
        found = np.quantile(values, CALIBRATION_LEVELS)
    return [float(value) if np.isfinite(value) else None for value in found]


def read_array(
    folder: Path, manifest: DetectorManifest, name: str, made: Callable[[Float64], T]
) -> T:
    """What the array in a file of a detector is of.

    Args:
        folder: store/<name>/<version>.
        manifest: of this bundle, which lists the file.
        name: of the file.
        made: makes it of the array; raises ValueError of one that is of something else.

    Raises:
        BundleError: the file is missing, larger than any such, no such array, or of something else.
        UnreadableBundleError: it cannot be read now.
    """
    content = read_listed(folder, manifest.files, name, MAX_CALIBRATION_BYTES)
    try:
        return made(array_of(content))
    except ValueError as error:
        shown = f"{place(folder)}/{name}"
        raise BundleError(f"{shown} is damaged: {printable(str(error))}") from None


def bytes_of(array: Float64) -> bytes:
    """An array of float64 in npy format."""
    content = io.BytesIO()
    np.save(content, array.astype(DTYPE, copy=False))
    return content.getvalue()


def array_of(content: bytes) -> Float64:
    """An array of float64 in npy format, of which no number is looked at before all are there.

    The header is compared with the one that numpy writes: numpy itself would evaluate it.
    """
    header = HEADER.match(content)
    if header is None:
        raise ValueError("expected an npy file of float64 numbers, row by row")
    shape = tuple([int(side) for side in header.groups() if side])
    received = len(content) - header.end()
    if math.prod(shape) * DTYPE.itemsize != received:
        raise ValueError(f"{shape} numbers are not the {received} bytes that it has")
    values: Float64 = np.frombuffer(content, DTYPE, offset=header.end()).reshape(shape)
    return values.astype(np.float64, copy=False)
