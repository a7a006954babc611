"""Descriptions of typed columns: kinds, and the numbers that are fitted before training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

PERIODS: dict[str, tuple[float, float, int]] = {
    "hour": (1.0, 86400.0, 2),
    "weekday": (86400.0, 7 * 86400.0, 3),
    "day_of_year": (86400.0, 365.2425 * 86400.0, 2),
}
"""A feature of time → its resolution and its period in seconds, and the number of harmonics."""

# A step is written as a fraction of whole numbers below this.
MAX_DENOMINATOR = 10**9


@dataclass(frozen=True, kw_only=True)
class NumberColumn:
    """A column of kind `numeric`, `lattice` or `datetime`.

    The warp maps v = (x − center) / scale, or v = (x − center) / step of a lattice, to t, in which
    the training values are about standard normal: a monotone spline through knots, with logarithmic
    tails (`warp.Warp`).

    Args:
        kind: the kind; a datetime is in seconds since 1970.
        warp: {"x": knots in v, "y": knots in t, "slope": slopes there}.
        center, scale: of v. The center of a lattice is one of its values.
        step, origin: values are origin + k · step with whole k; None of a continuous column.
        low, high: range of the training values.
        closed: whether no value of a lattice is outside [low, high].
        point_masses, shares: values of large weight, and their shares of the values that are there.
        missing_share: share of missing values; None where none can be missing.
        features: keys of `PERIODS` that the network reads besides t.

    Raises:
        ValueError: a value that makes no column.
    """

    kind: str
    warp: Mapping[str, Sequence[float]]
    center: float = 0.0
    scale: float = 1.0
    step: float | None = None
    origin: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    closed: bool = False
    point_masses: Sequence[float] = ()
    shares: Sequence[float] = ()
    missing_share: float | None = None
    features: Sequence[str] = ()

    def __post_init__(self) -> None:
        knots = [self.warp.get(name, ()) for name in ("x", "y", "slope")]
        increasing = all(a < b for axis in knots[:2] for a, b in pairwise(axis))
        if not (
            len(self.warp) == 3
            and len({*map(len, knots)}) == 1
            and len(knots[0]) >= 3
            and increasing
            and all(0 < slope < math.inf for slope in knots[2])
        ):
            raise ValueError(
                "a warp has at least 3 knots x, y, both increasing, with slopes above 0"
            )
        if self.kind == "lattice" and self.step is None:
            raise ValueError("a lattice has a step")
        if not self.scale > 0 or (self.step is not None and not self.step > 0):
            raise ValueError(f"scale and step are above 0, got {self.scale} and {self.step}")
        if self.closed and (self.step is None or not -math.inf < self.low <= self.high < math.inf):
            raise ValueError("a closed column is a lattice with finite low ≤ high")
        if self.closed and not self.low <= self.center <= self.high:
            raise ValueError(f"the center {self.center} is outside [{self.low}, {self.high}]")
        _check_shares(self.missing_share, self.shares)
        if len(self.shares) != len(self.point_masses) or sum(self.shares) >= 1:
            raise ValueError("each point mass has a share, and their sum is below 1")
        if sorted(set(self.point_masses)) != list(self.point_masses):
            raise ValueError(f"point masses increase, got {list(self.point_masses)}")
        if unknown := set(self.features) - set(PERIODS):
            raise ValueError(f"features are of {', '.join(PERIODS)}, not {', '.join(unknown)}")

    @property
    def lattice(self) -> tuple[float, float, float]:
        """Whole numbers p, a, q, if there are any, with values (k · p + a) / q.

        So a lattice of step 0.1 has the values that are written with one decimal digit.
        """
        step, origin = (
            Fraction(value).limit_denominator(MAX_DENOMINATOR)
            for value in (self.step or 1, self.origin)
        )
        q = math.lcm(step.denominator, origin.denominator)
        p, a = float(step * q), float(origin * q)
        # 3 · 0.1 and 0.3 differ in their last digit
        close = math.isclose(p / q, self.step or 1) and math.isclose(a / q, self.origin)
        return (p, a, float(q)) if close else (self.step or 1.0, self.origin, 1.0)

    def cell(self, value: float) -> float:
        """The k of a value of a lattice; infinite where the value is."""
        p, a, q = self.lattice
        return float(round((value * q - a) / p)) if math.isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class CategoricalColumn:
    """A column of codes 0 … K−1 of classes.

    Args:
        kind: `categorical`.
        shares: share of each class, and of `other`.
        other: whether the last class stands for all that were not seen.
        missing_share: share of missing values; None where none can be missing.

    Raises:
        ValueError: a value that makes no column.
    """

    kind: str
    shares: Sequence[float]
    other: bool = False
    missing_share: float | None = None

    def __post_init__(self) -> None:
        if not self.shares:
            raise ValueError("a categorical column has at least one class")
        _check_shares(self.missing_share, self.shares)


ColumnDescription = NumberColumn | CategoricalColumn


def describe(columns: Sequence[Mapping[str, Any]]) -> list[ColumnDescription]:
    """The descriptions of columns from plain mappings, as runs keep them.

    Raises:
        ValueError: an unknown kind, key or value; the column is named by its number, from 0.
    """
    described: list[ColumnDescription] = []
    for i, column in enumerate(columns):
        kind = column.get("kind")
        try:
            if kind == "categorical":
                described.append(CategoricalColumn(**column))
            elif kind in ("numeric", "lattice", "datetime"):
                described.append(NumberColumn(**column))
            else:
                raise ValueError(
                    f"a kind is numeric, lattice, datetime or categorical, not {kind!r}"
                )
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {i}: {error}") from None
    return described


def _check_shares(missing_share: float | None, shares: Sequence[float]) -> None:
    """Refuse shares that would make a value impossible."""
    if not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares are above 0 and at most 1, got {list(shares)}")
    if missing_share is not None and not 0 < missing_share < 1:
        raise ValueError(f"the share of missing values is between 0 and 1, got {missing_share}")
