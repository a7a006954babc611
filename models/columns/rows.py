"""What is computed of the rows of a table alone, whatever the parameters of a density are."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.columns.categories import CategoryGroup
from models.columns.group import ColumnGroup
from models.columns.numbers import Cells, NumberGroup
from models.columns.places import LOG_ZERO


class Rows(NamedTuple):
    """What is computed of N rows: N × … each, columns in the order of `Arranged`.

    Columns with point masses, those whose values can be missing, and those of classes are numbered
    among themselves.
    """

    row: Tensor
    """N × D, columns in their own order."""
    inputs: Tensor
    """What the network reads beside the learned features of classes."""
    embedded: Tensor
    """Codes of classes that have learned features, each in the table of its group."""
    there: Tensor
    """Of these, 1 where the value is there, 0 where it is missing."""
    low: Tensor
    high: Tensor
    width: Tensor
    """Cells of lattices (`numbers.Cells`)."""
    point: Tensor
    """Warped values of continuous columns."""
    broad: Tensor
    """Log-probability or log-density of the broad component, times its weight."""
    mass: Tensor
    """1 + the number of the point mass that a value is, 0 where it is none."""
    no_rest: Tensor
    """`LOG_ZERO` where a value of a continuous column is a point mass, else 0."""
    no_mass: Tensor
    """`LOG_ZERO` where a value is no point mass, else 0."""
    side: Tensor
    """1 where a value is missing, −1 where it is there."""
    code: Tensor
    """Codes of classes."""
    floor_of_rest: Tensor
    floor_of_mass: Tensor
    floor_of_gap: Tensor
    floor_of_class: Tensor
    """Log-probabilities under the marginals, times their weight: that a value is no point mass,
    that it is the one it is, that it is missing or there as it is, that it is of its class."""
    absent: Tensor
    """Whether values are missing; N × 0 where none can be."""
    constant: Tensor
    """N × 1: the log-slopes of all points; −inf of a row outside the support."""


class Arranged:
    """The groups of a density by what is computed of their columns.

    All columns are in the order: cells without point masses, cells with them, points with them,
    points without them, classes.
    """

    def __init__(self, groups: Sequence[ColumnGroup]) -> None:
        numbers = [group for group in groups if isinstance(group, NumberGroup)]
        numbers.sort(key=lambda group: (not group.discrete, bool(group.masses) == group.discrete))
        self.numbers = numbers
        self.classes = [group for group in groups if isinstance(group, CategoryGroup)]
        self.with_masses = [group for group in numbers if group.masses]
        self.with_gaps = [group for group in (*numbers, *self.classes) if group.missing]
        self.embedded = [group for group in self.classes if group.embedding is not None]
        self.fixed = [group for group in groups if group not in self.embedded]
        self.cells = count(group for group in numbers if group.discrete)
        self.first_mass = count(group for group in numbers if group.discrete and not group.masses)
        self.most_masses = max((group.masses for group in numbers), default=0)

    def rows(self, x: Tensor) -> Rows:
        """Compute what follows from rows alone: N × D, in float64."""
        parts: dict[str, list[Tensor]] = {name: [x[:, :0]] for name in Rows._fields}
        parts["constant"] = []
        for group in (*self.numbers, *self.classes):
            for name, part in _of_group(group, x[:, group.columns]).items():
                parts[name].append(part)
        if not self.with_gaps:
            parts["absent"] = [x[:, :0]]
        parts["row"] = [x]
        parts["inputs"] += [group.features(x[:, group.columns]).flatten(1) for group in self.fixed]
        parts["constant"] = [torch.cat(parts["constant"], 1).sum(1, keepdim=True)]
        return Rows(*(torch.cat(parts[name], 1) for name in Rows._fields))


def _of_group(group: ColumnGroup, x: Tensor) -> dict[str, Tensor]:
    """The parts of a group's columns, N × C or N × 1 each."""
    value, absent, valid = group.checked(x)
    parts = {"absent": absent.to(x.dtype)}
    if group.missing:
        share = group.missing_share
        log_share = torch.where(absent, torch.log(share), torch.log1p(-share))
        parts["side"] = torch.where(absent, 1.0, -1.0).to(x.dtype)
        parts["floor_of_gap"] = log_share + math.log(group.floor)
    log_slope = torch.zeros_like(x)
    if isinstance(group, NumberGroup):
        cells, mass = group.cells(value)
        parts |= _of_cells(group, cells)
        is_mass = mass > 0
        if group.masses:
            parts |= _of_masses(group, mass, is_mass)
        log_slope = torch.where(absent | is_mass, 0.0, cells.log_slope)
    elif isinstance(group, CategoryGroup):
        code = value.long()
        parts["code"] = value
        log_floor = group.get_buffer("log_floor").expand(len(x), -1, -1)
        parts["floor_of_class"] = chosen(log_floor, code) + math.log(group.class_floor)
        if group.embedding is not None:
            first = torch.arange(len(group.index), device=x.device) * group.classes
            parts["embedded"] = (code + first).to(x.dtype)
            parts["there"] = 1 - parts["absent"]
    constant = torch.where(valid, log_slope, -torch.inf).sum(1, keepdim=True)
    return parts | {"constant": constant}


def _of_cells(group: NumberGroup, cells: Cells) -> dict[str, Tensor]:
    """The parts of the cells of columns of numbers, or of their points."""
    mixture, low = group.mixture, cells.low
    broad = mixture.broad(low)
    if group.discrete:
        terms = mixture.cell_terms(low, cells.high, cells.width, broad)
        ends = {"low": low, "high": cells.high, "width": cells.width}
        return ends | {"broad": terms[..., 0]}
    return {"point": low, "broad": mixture.density_terms(low, broad)[..., 0]}


def _of_masses(group: NumberGroup, mass: Tensor, is_mass: Tensor) -> dict[str, Tensor]:
    """The parts of point masses."""
    log_shares = group.get_buffer("log_shares").expand(len(mass), -1, -1)
    zero = torch.zeros_like(log_shares[..., 0])
    return {
        "mass": mass.to(zero.dtype),
        "no_rest": zero if group.discrete else torch.where(is_mass, LOG_ZERO, zero),
        "no_mass": torch.where(is_mass, zero, LOG_ZERO),
        "floor_of_rest": log_shares[..., 0] + math.log(group.floor),
        "floor_of_mass": chosen(log_shares, mass) + math.log(group.floor),
    }


def chosen(values: Tensor, number: Tensor) -> Tensor:
    """The value of each number: N × C × K, N × C → N × C."""
    return values.gather(-1, number[..., None])[..., 0]


def count(groups: Iterable[ColumnGroup]) -> int:
    """The number of the columns of groups."""
    return sum(len(group.index) for group in groups)
