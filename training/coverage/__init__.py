"""Whether rows of data lie where a model's draws do, with the bands of right models."""

from training.coverage.envelopes import histogram_counts, uniform_order_statistics
from training.coverage.ranks import (
    BARS,
    DRAWS_OF_EACH,
    LEVELS,
    MOST_ROWS,
    MOST_ROWS_WITH_CONTEXT,
    SHARED_DRAWS,
    Coverage,
    RankHistogram,
    coverage_of,
)

__all__ = [
    "BARS",
    "DRAWS_OF_EACH",
    "LEVELS",
    "MOST_ROWS",
    "MOST_ROWS_WITH_CONTEXT",
    "SHARED_DRAWS",
    "Coverage",
    "RankHistogram",
    "coverage_of",
    "histogram_counts",
    "uniform_order_statistics",
]
