"""Densities over columns of different kinds: numbers, lattices, classes, times, missing values."""

from models.columns.descriptions import (
    CategoricalColumn,
    ColumnDescription,
    NumberColumn,
    describe,
)
from models.columns.group import ColumnGroup
from models.columns.numbers import NumberGroup
from models.columns.typed import TypedColumns

__all__ = [
    "CategoricalColumn",
    "ColumnDescription",
    "ColumnGroup",
    "NumberColumn",
    "NumberGroup",
    "TypedColumns",
    "describe",
]
