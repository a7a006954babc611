"""`bijecta inspect`: what a table holds, and what of it is modelled; without torch."""

from training.inspection.arrays import LabelledArrays, look_at_detector_data
from training.inspection.command import TABULAR, LookedAt, inspect, look_at_table, recipe_of
from training.inspection.labelled import LabelledTable
from training.inspection.report import ColumnReport, Inspection, inspect_table

__all__ = [
    "TABULAR",
    "ColumnReport",
    "Inspection",
    "LabelledArrays",
    "LabelledTable",
    "LookedAt",
    "inspect",
    "inspect_table",
    "look_at_detector_data",
    "look_at_table",
    "recipe_of",
]
