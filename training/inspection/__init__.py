"""`bijecta inspect`: what a table holds, and what of it is modelled; without torch."""

from training.inspection.command import inspect
from training.inspection.report import ColumnReport, Inspection, inspect_table

__all__ = ["ColumnReport", "Inspection", "inspect", "inspect_table"]
