"""Whether held-out rows lie among a model's draws as one of these does among the others.

The rank of a row's value among draws is uniform where the model is right, column by column (Talts
et al. 2018, "Validating Bayesian Inference Algorithms with Simulation-Based Calibration"); so is
the rank of its distance from any point, which sees how columns hang together (TARP: Lemos et al.
2023, "Sampling-Based Accuracy Testing of Posterior Estimators"). A conditional model draws for the
context of each row; another has one set of draws for all rows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.coverage.envelopes import histogram_counts

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
BARS = 20

# Draws and rows, without a context and with one. With one more than the draws, bars and levels have
# whole numbers of ranks.
SHARED_DRAWS, DRAWS_OF_EACH = 3999, 199
MOST_ROWS, MOST_ROWS_WITH_CONTEXT = 2000, 250

# Of the band of a share.
SIMULATIONS, SEED = 20_000, 0

Array = NDArray[np.float64]
Ranks = NDArray[np.int64]


class Share(BaseModel):
    """The share of rows inside a central interval of the draws.

    Args:
        level: of the interval, the probability that a model gives it.
        share: of the rows.
        low, high: between which it lies for 95 right models in 100.
    """

    model_config = ConfigDict(frozen=True)

    level: float
    share: float
    low: float
    high: float

    @property
    def is_right(self) -> bool:
        """Whether a right model may have this share."""
        return self.low <= self.share <= self.high


class RankHistogram(BaseModel):
    """Ranks of rows among draws.

    Args:
        name: of the column.
        counts: rows by rank, in `BARS` bars.
        in_band: whether all of them lie in the band of a right model.
        shares: of central intervals, at `LEVELS`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    counts: list[int]
    in_band: bool
    shares: list[Share]


class Coverage(BaseModel):
    """How held-out rows lie among draws of a model.

    Args:
        rows: how many.
        draws: how many there are for each row.
        with_context: whether each row has draws of its own, of its context.
        low, high: the band that the counts of 95 right columns in 100 lie in, bar by bar.
        columns: ranks of the values of each.
        joint: ranks of distances of whole rows; None of typed columns, which have no distances.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    draws: int
    with_context: bool
    low: list[float]
    high: list[float]
    columns: list[RankHistogram]
    joint: RankHistogram | None


def coverage_of(
    rows: Array, draws: Array, names: Sequence[str], has_joint: bool, seed: int
) -> Coverage:
    """How rows lie among draws.

    Args:
        rows: N × D; NaN is a missing value, below all others.
        draws: M × D, the same for all rows, or N × M × D, those of each row.
        names: of the D columns.
        has_joint: whether distances between rows mean something.
        seed: of the order of equal values, and of the points that distances are from.
    """
    rng, shared = np.random.default_rng(seed), draws.ndim == 2
    count = draws.shape[-2]
    band = histogram_counts(len(rows), BARS, count if shared else None)
    shares = [_band_of_share(len(rows), count, shared, level) for level in LEVELS]

    def histogram(name: str, ranks: Ranks) -> RankHistogram:
        counts = np.bincount(ranks * BARS // (count + 1), minlength=BARS)
        return RankHistogram(
            name=name,
            counts=counts.tolist(),
            in_band=bool(((counts >= band[0]) & (counts <= band[1])).all()),
            shares=[_share(ranks, count, *each) for each in zip(LEVELS, shares, strict=True)],
        )

    ranks = ranks_among(rows, draws, rng)
    histograms = [histogram(*each) for each in zip(names, ranks.T, strict=True)]
    joint = None
    if has_joint:
        joint = histogram("whole rows", ranks_of_distances(rows, draws, rng))
    return Coverage(
        rows=len(rows),
        draws=count,
        with_context=not shared,
        low=band[0].tolist(),
        high=band[1].tolist(),
        columns=histograms,
        joint=joint,
    )


def ranks_among(rows: Array, draws: Array, rng: np.random.Generator) -> Ranks:
    """How many draws lie below each value, some of the equal ones at random: N × D, 0 to M."""
    values, others = (np.where(np.isnan(each), -np.inf, each) for each in (rows, draws))
    below, equal = np.empty(rows.shape, np.int64), np.empty(rows.shape, np.int64)
    for i in range(rows.shape[1]):
        if draws.ndim == 2:
            ascending, column = np.sort(others[:, i]), values[:, i]
            below[:, i] = np.searchsorted(ascending, column)
            equal[:, i] = np.searchsorted(ascending, column, side="right") - below[:, i]
        else:
            column = values[:, None, i]
            below[:, i] = (others[:, :, i] < column).sum(1)
            equal[:, i] = (others[:, :, i] == column).sum(1)
    return below + rng.integers(0, equal, endpoint=True)


def ranks_of_distances(rows: Array, draws: Array, rng: np.random.Generator) -> Ranks:
    """How many draws lie nearer to a random point than each row does: N, 0 to M.

    Points are uniform in the box of rows and draws, and columns are in units of their deviation.
    """
    flat = draws.reshape(-1, draws.shape[-1])
    low = np.minimum(rows.min(0), flat.min(0))
    high = np.maximum(rows.max(0), flat.max(0))
    scale = np.maximum(flat.std(0), np.finfo(np.float64).tiny)
    points = rng.uniform(low, high, rows.shape)
    ranks = np.empty(len(rows), np.int64)
    for i, (row, point) in enumerate(zip(rows, points, strict=True)):
        others = draws if draws.ndim == 2 else draws[i]
        distances = (((others - point) / scale) ** 2).sum(1)
        own = (((row - point) / scale) ** 2).sum()
        below, equal = int((distances < own).sum()), int((distances == own).sum())
        ranks[i] = below + rng.integers(0, equal, endpoint=True)
    return ranks


def _outside(draws: int, level: float) -> int:
    """How many ranks lie below a central interval, and as many above it."""
    return round((1 - level) / 2 * (draws + 1))


def _band_of_share(n: int, draws: int, shared: bool, level: float) -> tuple[float, float]:
    """Between which the share of n rows in a central interval lies for 95 right models in 100."""
    rng, outside = np.random.default_rng(SEED), 2 * _outside(draws, level)
    inside = draws + 1 - outside
    probability = np.full(SIMULATIONS, inside / (draws + 1))
    if shared:  # that of the interval of these draws is itself a Beta's
        probability = rng.beta(inside, outside, SIMULATIONS)
    counts = rng.binomial(n, probability)
    low, high = np.quantile(counts, [0.025, 0.975], method="inverted_cdf")
    return float(low / n), float(high / n)


def _share(ranks: Ranks, draws: int, level: float, band: tuple[float, float]) -> Share:
    outside = _outside(draws, level)
    inside = (ranks >= outside) & (ranks <= draws - outside)
    return Share(level=level, share=float(inside.mean()), low=band[0], high=band[1])
