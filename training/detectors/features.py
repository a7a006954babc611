"""Coordinates in which the rows of a typed table are compared with each other."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.columns import (
    CategoricalColumn,
    ColumnDescription,
    NumberColumn,
    Warp,
    angle_of,
    warp_of,
)

Marginals = Literal["standard", "robust", "normal"]
"""How numbers are measured: in deviations from the mean; from the median, in deviations of the
middle two thirds of the values, which large values do not widen; by the warp that makes the column
normal."""

# The median, and the quantiles that are one deviation from it where a column is normal.
QUANTILES = (0.1587, 0.5, 0.8413)

# A number up to so many deviations from the mean is as far as it says, a farther one by its
# logarithm: one column cannot outweigh all others.
LINEAR_UP_TO = 4.0

# Beyond it features are as there: the difference of two numbers can be infinite.
LARGEST = 1e100

# A deviation below this, relative to the mean, is rounding: the column is constant.
SMALLEST_DEVIATION = 1e-12

# Squared distances of two classes: 1 on average over pairs of rows, at most the first of these, and
# the second between a class that was never seen and any other.
MAX_CLASS_DISTANCE = 20.0
UNSEEN_DISTANCE = 25.0

# Up to so many classes each is an axis of its own; more are random directions in as many axes.
MAX_CLASS_AXES = 32


class Features(nn.Module):
    """Typed rows → features: N × D, NaN where missing → N × F, all in float64.

    In this order: numbers, flags of missing values, times, classes. Numbers are in units in which
    two rows differ by √2 in root mean square, 0 where missing. Times are points on a circle for
    each of their periods; a time without a period is a number. Classes are vectors.

    Args:
        columns: descriptions of the D columns.
        marginals: how numbers are measured.

    `size` is F; `features_of` has the indices of the features of each column.
    """

    center: Tensor
    deviation: Tensor
    numbers: Tensor
    missing: Tensor

    def __init__(self, columns: Sequence[ColumnDescription], marginals: Marginals) -> None:
        super().__init__()
        self.columns, self.marginals = list(columns), marginals
        number_columns = {
            i: c for i, c in enumerate(columns) if isinstance(c, NumberColumn) and not c.features
        }
        self.times = {
            i: list(c.features)
            for i, c in enumerate(columns)
            if isinstance(c, NumberColumn) and c.features
        }
        self.classes = {i: c for i, c in enumerate(columns) if isinstance(c, CategoricalColumn)}
        missing = [i for i, c in enumerate(columns) if c.missing_share is not None]
        count = len(number_columns)
        self.register_buffer("numbers", torch.tensor([*number_columns], dtype=torch.long), False)
        self.register_buffer("missing", torch.tensor(missing, dtype=torch.long), False)
        self.register_buffer("center", torch.zeros(count, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(count, dtype=torch.float64))
        self.warp = None
        if marginals == "normal" and number_columns:
            self.warp = _Warped(list(number_columns.values()))
        for i, column in self.classes.items():
            self.register_buffer(f"classes_{i}", class_vectors(column, i), persistent=False)
        of_columns = [*number_columns, *missing]
        of_columns += [i for i, names in self.times.items() for _ in range(2 * len(names))]
        of_columns += [
            i for i in self.classes for _ in range(self.get_buffer(f"classes_{i}").shape[1])
        ]
        self.size = len(of_columns)
        self.features_of = [
            [k for k, column in enumerate(of_columns) if column == i] for i in range(len(columns))
        ]

    def fit(self, rows: Tensor) -> None:
        """Take center and deviation of the numbers from training rows: N × D."""
        for k, values in enumerate(rows[:, self.numbers].T):
            there = values[~torch.isnan(values)]
            if not len(there):
                continue
            # squares of the largest numbers would be infinite
            unit = float(there.abs().max()) or 1.0
            there = there / unit
            center, deviation = float(there.mean()), float(there.std(correction=0))
            if self.marginals == "robust":
                low, center, high = np.quantile(there.numpy(), QUANTILES).tolist()
                # of values most of which are one, the range of the middle ones is zero
                deviation = (high - low) / 2 or deviation
            constant = deviation <= SMALLEST_DEVIATION * abs(center)
            self.center[k] = center * unit
            self.deviation[k] = 1.0 if constant else deviation * unit

    def forward(self, x: Tensor) -> Tensor:
        """The features of rows: N × D → N × F."""
        parts = []
        if len(self.numbers):
            parts.append(self._numbers(x.index_select(1, self.numbers)))
        if len(self.missing):
            parts.append(torch.isnan(x.index_select(1, self.missing)).to(x.dtype))
        for i, names in self.times.items():
            parts.append(_on_circles(x[:, i : i + 1], names))
        for i, column in self.classes.items():
            code = x[:, i]
            code = torch.where(torch.isnan(code), float(len(column.shares)), code)
            parts.append(F.embedding(code.long(), self.get_buffer(f"classes_{i}")))
        return torch.cat(parts, 1)

    def _numbers(self, values: Tensor) -> Tensor:
        absent = torch.isnan(values)
        values = torch.where(absent, self.center, values)
        if self.warp is None:
            z = soft_clip((values - self.center) / self.deviation)
        else:
            z = self.warp(values)
        return torch.where(absent, 0.0, z)


class _Warped(nn.Module):
    """Numbers as their warps have them, about standard normal: N × C → N × C."""

    def __init__(self, columns: Sequence[NumberColumn]) -> None:
        super().__init__()
        units = [c.scale if c.step is None else c.step for c in columns]
        self.register_buffer("center", torch.tensor([c.center for c in columns]).double(), False)
        self.register_buffer("unit", torch.tensor(units).double(), False)
        for name, values in warp_of(columns)._asdict().items():
            self.register_buffer(name, values, False)

    def forward(self, values: Tensor) -> Tensor:
        v = (values - self.get_buffer("center")) / self.get_buffer("unit")
        v = v.clamp(-LARGEST, LARGEST)
        warp = Warp(*(self.get_buffer(name) for name in Warp._fields))
        return warp.forward(v)[0]


def soft_clip(z: Tensor) -> Tensor:
    """Z up to `LINEAR_UP_TO`, beyond it growing with its logarithm, continuous with its slope."""
    size = z.abs().clamp(max=LARGEST)
    beyond = LINEAR_UP_TO * (1 + torch.log((size / LINEAR_UP_TO).clamp(min=1.0)))
    return torch.where(size <= LINEAR_UP_TO, z, torch.sign(z) * beyond)


def class_vectors(column: CategoricalColumn, seed: int) -> Tensor:
    """A vector for each code of a column, and one for a missing value: (codes + 1) × axes."""
    codes = len(column.shares)
    shares = torch.tensor(column.shares, dtype=torch.float64)
    mismatch = float(1 - (shares / shares.sum()).square().sum())
    length = math.sqrt(0.5 * min(1 / max(mismatch, 1e-9), MAX_CLASS_DISTANCE))
    if codes < MAX_CLASS_AXES:
        vectors = torch.eye(codes + 1, dtype=torch.float64)
    else:
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(codes + 1, MAX_CLASS_AXES, generator=generator, dtype=torch.float64)
        vectors = F.normalize(drawn, dim=1)
    vectors = length * vectors
    if column.other:
        # |unseen − other class|² = its own square and that of the other class
        vectors[codes - 1] *= math.sqrt(UNSEEN_DISTANCE - length**2) / length
    return vectors


def _on_circles(seconds: Tensor, names: Sequence[str]) -> Tensor:
    """Times as points on a circle for each period: N × 1 → N × 2 · periods; 0 where missing."""
    parts = []
    for name in names:
        angle = angle_of(seconds, name)
        parts += [torch.sin(angle), torch.cos(angle)]
    # a column counts as much as one number, whatever the number of its periods
    circles = torch.cat(parts, 1) / math.sqrt(len(names))
    return torch.where(torch.isnan(seconds), 0.0, circles)
