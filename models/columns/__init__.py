"""Densities over columns of different kinds: numbers, lattices, classes, times, missing values."""

from models.columns.descriptions import (
    CategoricalColumn,
    ColumnDescription,
    NumberColumn,
    describe,
)
from models.columns.typed import TypedColumns

__all__ = [
    "CategoricalColumn",
    "ColumnDescription",
    "NumberColumn",
    "TypedColumns",
    "describe",
]
