"""Densities over columns of different kinds: numbers, lattices, classes, times, missing values."""

from models.columns.descriptions import (
    PERIODS,
    CategoricalColumn,
    ColumnDescription,
    NumberColumn,
    describe,
)
from models.columns.group import ColumnGroup
from models.columns.networks import (
    AttentionColumnNetwork,
    ColumnLayout,
    ColumnNetwork,
    MaskedColumnNetwork,
    TokenMaps,
)
from models.columns.numbers import NumberGroup, angle_of
from models.columns.typed import TypedColumns
from models.columns.warp import Warp, warp_of

__all__ = [
    "PERIODS",
    "AttentionColumnNetwork",
    "CategoricalColumn",
    "ColumnDescription",
    "ColumnGroup",
    "ColumnLayout",
    "ColumnNetwork",
    "MaskedColumnNetwork",
    "NumberColumn",
    "NumberGroup",
    "TokenMaps",
    "TypedColumns",
    "Warp",
    "angle_of",
    "describe",
    "warp_of",
]
