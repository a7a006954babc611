"""`bijecta inspect`: what a table holds, and what of it is modelled; without torch."""

from training.inspection.command import TABULAR, LookedAt, inspect, look_at_table, recipe_of
from training.inspection.labelled import LabelledTable, look_at_labelled_table
from training.inspection.report import ColumnReport, Inspection, inspect_table

__all__ = [
    "TABULAR",
    "ColumnReport",
    "Inspection",
    "LabelledTable",
    "LookedAt",
    "inspect",
    "inspect_table",
    "look_at_labelled_table",
    "look_at_table",
    "recipe_of",
]
