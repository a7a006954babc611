"""What the watches of several workers say of one model, each of which sees some of its rows."""

import math
from collections.abc import Sequence
from typing import Any

from service.watching.watch import MAX_MARTINGALES

SUMS = ("rows", "unknown_rows", "waiting_rows")


def of_all_streams(described: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One description of several, as `Watch.describe` gives them.

    The mean of independent test martingales is one. Each description has its part of the mean, so
    that the sum of these parts is compared with the threshold. A worker's alarm, which comes when
    its part alone is over the threshold, is an alarm of the mean as well.

    Args:
        described: one at least, of the same model and version.
    """
    first, *others = described
    if not others:
        return first
    said = dict(first)
    for name in SUMS:
        said[name] = sum(one[name] for one in described)
    said["begun"] = min(one["begun"] for one in described)
    alarms = [one["alarm"] for one in described if one["alarm"] is not None]
    said["alarm"] = min(alarms, key=lambda alarm: alarm["time"], default=None)
    parts: dict[tuple[Any, ...], list[float]] = {}
    for one in described:
        for change in one["martingales"]:
            key = change["of"], change["column"], change["values"]
            parts.setdefault(key, []).append(change["log_martingale"])
    names = ("of", "column", "values")
    changes = [
        dict(zip(names, key, strict=True)) | {"log_martingale": _log_sum(logs)}
        for key, logs in parts.items()
    ]
    changes.sort(key=lambda change: -change["log_martingale"])
    said["martingales"] = changes[:MAX_MARTINGALES]
    said["log_martingale"] = changes[0]["log_martingale"]
    largest = [one["largest_log_martingale"] for one in described]
    said["largest_log_martingale"] = max(*largest, said["log_martingale"])
    return said


def _log_sum(logs: Sequence[float]) -> float:
    """The logarithm of the sum of what these are the logarithms of."""
    largest = max(logs)
    if math.isinf(largest):
        return largest
    return largest + math.log(sum(math.exp(one - largest) for one in logs))
