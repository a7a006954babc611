"""Which kind each column of a table is of, found in its values."""

from service.tables.decision.decide import Decision, decide
from service.tables.decision.kinds import KINDS
from service.tables.decision.overrides import Overrides
from service.tables.decision.relations import (
    MIN_DISTINCT_VALUES,
    combinations,
    marker,
    outlier,
    repeat_by_nature,
    row_digests,
    sampled_rows,
    twins,
)
from service.tables.decision.steps import on_step
from service.tables.decision.understood import Understood

__all__ = [
    "KINDS",
    "MIN_DISTINCT_VALUES",
    "Decision",
    "Overrides",
    "Understood",
    "combinations",
    "decide",
    "marker",
    "on_step",
    "outlier",
    "repeat_by_nature",
    "row_digests",
    "sampled_rows",
    "twins",
]
