"""Densities over columns of different kinds: numbers, lattices, classes, times, missing values."""

from models.columns.descriptions import (
    PERIODS,
    CategoricalColumn,
    ColumnDescription,
    NumberColumn,
    describe,
)
from models.columns.group import ColumnGroup
from models.columns.numbers import NumberGroup
from models.columns.typed import TypedColumns
from models.columns.warp import Warp, warp_of

__all__ = [
    "PERIODS",
    "CategoricalColumn",
    "ColumnDescription",
    "ColumnGroup",
    "NumberColumn",
    "NumberGroup",
    "TypedColumns",
    "Warp",
    "describe",
    "warp_of",
]
