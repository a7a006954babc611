"""Where a row lies among the held-out rows, by what a manifest says of their log_prob."""

import numpy as np

from service.errors import InvalidInputError
from service.store import Model
from service.types import Floats


def quantiles(model: Model, log_prob: Floats) -> Floats:
    """The share of the held-out rows whose log_prob is at most that of each row.

    It is exact at the quantiles of the manifest's `calibration`, and linear between two of them.
    Below the lowest it is that one's level, above the highest the highest level. Of rows without a
    density it is the lowest level, and NaN where log_prob is NaN.

    Args:
        model: whose held-out rows.
        log_prob: N, in nats.

    Raises:
        InvalidInputError: the manifest says nothing of their log_prob.
    """
    calibration = model.manifest.calibration
    if calibration is None or calibration.log_prob is None:
        raise InvalidInputError(
            f"quantile: the manifest of {model.manifest.name} version {model.manifest.version} has "
            "no quantiles of log_prob"
        )
    levels = np.array(calibration.levels)
    known = np.array([-np.inf if v is None else v for v in calibration.log_prob], np.float64)
    # between −∞ and a number nothing is linear: below the lowest number the level is that of −∞
    finite = int(np.count_nonzero(np.isneginf(known)))
    lowest = levels[max(finite - 1, 0)]
    if finite == len(known):
        found = np.full(log_prob.shape, lowest)
    else:
        found = np.interp(log_prob, known[finite:], levels[finite:], left=lowest)
    found = np.where(np.isneginf(log_prob), levels[0], found)
    result: Floats = np.where(np.isnan(log_prob), np.nan, found).astype(log_prob.dtype)
    return result
