"""Which rows are pictures, and which values of theirs are dark and bright."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from service.bundle.manifests.part import PerCoordinate

# A flat row of fewer whole numbers is no picture.
MIN_PIXELS = 25

PictureShape = tuple[int, int, int]
"""Channels, height and width in pixels."""


class Picture(NamedTuple):
    """What rows that are pictures are.

    Args:
        shape: one channel of grey, or three of red, green and blue.
        low, high: of the values, one or one for each coordinate in row-major order. Black is the
            smallest, white the largest.
        is_whole: whether values are whole numbers.
    """

    shape: PictureShape
    low: PerCoordinate
    high: PerCoordinate
    is_whole: bool


def picture_shape(row_shape: Sequence[int], is_plain: bool) -> PictureShape | None:
    """The shape as a picture of rows of a shape; None where they are none.

    Args:
        row_shape: of two or three sides, or of a flat row.
        is_plain: whether the values are whole numbers without names: a flat row of as many as a
            square has is a picture then.
    """
    if len(row_shape) == 3:
        return row_shape[0], row_shape[1], row_shape[2]
    if len(row_shape) == 2:
        return 1, row_shape[0], row_shape[1]
    side = math.isqrt(math.prod(row_shape))
    if len(row_shape) == 1 and is_plain and side**2 == row_shape[0] >= MIN_PIXELS:
        return 1, side, side
    return None
