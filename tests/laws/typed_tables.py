"""Densities over typed columns that the laws are checked on."""

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import zoo
from models.columns import TypedColumns
from tests.laws.zoo_table import randomise
from training.preprocessing import fit_columns

ROWS = 500
CLASSES = {"kind": "categorical", "classes": 3, "other": True, "missing": True}
GRADES = {"kind": "categorical", "classes": 5}
COUNT = {
    "kind": "lattice",
    "step": 1.0,
    "low": 0.0,
    "high": 6.0,
    "closed": True,
    "point_masses": [0.0],
    "missing": True,
}
TENTHS = {"kind": "lattice", "step": 0.1, "low": -0.4, "high": 0.5, "closed": True}
PAID = {"kind": "numeric", "point_masses": [0.0, 20.0], "missing": True}
PRICE = PAID | {"point_masses": [0.0, 1.0, 20.0]}
OPEN = {"kind": "lattice", "step": 1.0, "missing": True}
SPIKED = {"kind": "lattice", "step": 0.5, "point_masses": [-1.0, 0.0, 2.5]}
IDENTIFIER = {"kind": "lattice", "step": 1.0}
TIME = {"kind": "datetime", "features": ["weekday", "hour"]}
DATE = {"kind": "datetime", "step": 86400.0, "features": ["day_of_year"], "missing": True}
MANY = {"kind": "categorical", "classes": 20, "missing": True}

TABLES: dict[str, list[dict[str, Any]]] = {
    "discrete": [CLASSES, COUNT, TENTHS],
    "discrete context": [TENTHS, GRADES, CLASSES],
    "one number": [GRADES, PAID],
    "one number first": [PAID, CLASSES],
    "mixed": [CLASSES, OPEN, PAID, SPIKED, IDENTIFIER, MANY, TIME, DATE, COUNT, OPEN, CLASSES],
    "mixed context": [PAID, SPIKED, MANY, OPEN, PRICE],
    "one column": [OPEN],
    "classes": [GRADES, GRADES],
}
"""What is known of the columns of each table before anything is fitted.

The network of a density is a transformer where the name of its table says so.
"""

TABLES |= {
    f"{name} transformer": TABLES[name]
    for name in (
        "discrete",
        "discrete context",
        "one number",
        "mixed",
        "mixed context",
        "one column",
    )
}


def context_size(name: str) -> int:
    """How many numbers a table is conditioned on."""
    return 2 if "context" in name else 0


def rows_of(name: str) -> NDArray[np.float64]:
    """Training rows: columns that depend on each other, with gaps where values can be missing."""
    generator = np.random.default_rng(0)
    common = generator.normal(size=ROWS)
    columns = []
    for column in TABLES[name]:
        values = common + 0.7 * generator.normal(size=ROWS)
        if column["kind"] == "categorical":
            classes = column["classes"]
            values = np.clip(np.round(classes / 3 * np.abs(values)), 0, classes - 1)
        elif column in (PAID, PRICE):
            values = np.where(values < -0.3, 0.0, np.where(values > 1.5, 20.0, np.exp(2 * values)))
            values = np.where((column is PRICE) & (values < 1.3) & (values > 0.8), 1.0, values)
        elif column is IDENTIFIER:
            values = 2.0**53 - 50 + np.round(10 * values)
        elif column["kind"] == "datetime":
            values = 1.7e9 + 1e7 * values
        if step := column.get("step"):
            whole = np.round(values / (0.2 if column is TENTHS else 1.0))
            values = whole / 10 if column is TENTHS else np.round(values / step) * step
            values = np.clip(values, column.get("low", -np.inf), column.get("high", np.inf))
        if column.get("missing"):
            values = np.where(generator.random(ROWS) < 0.1, np.nan, values)
        columns.append(values)
    return np.stack(columns, 1)


@cache
def fitted(name: str) -> list[dict[str, Any]]:
    """The descriptions of a table's columns."""
    return fit_columns(rows_of(name), TABLES[name])


def density(
    name: str, dtype: torch.dtype = torch.float64, scale: float = 0.3, **options: Any
) -> TypedColumns:
    """The density over a table, its parameters moved away from independent columns by `scale`.

    Those of a transformer by half of it: its conditionals are then as narrow as the others.
    """
    torch.manual_seed(0)
    size = context_size(name)
    family, half = ("tabular-transformer", 0.5) if "transformer" in name else ("tabular", 1.0)
    made = zoo.build_tabular(
        fitted(name),
        ROWS,
        family=family,
        context_shape=(size,) if size else None,
        options={"hidden": (24, 24), "activation": "tanh", "components": 3} | options,
    )
    randomise(made, half * scale)
    return made.to(dtype).eval()


def context_of(name: str, rows: int) -> Tensor | None:
    """The same context for all rows."""
    size = context_size(name)
    return torch.tensor([0.7, -1.1], dtype=torch.float64).expand(rows, size) if size else None


def cells(name: str) -> Tensor:
    """All rows of a table of discrete columns."""
    values = []
    for column in TABLES[name]:
        if column["kind"] == "categorical":
            possible = [float(i) for i in range(column["classes"] + bool(column.get("other")))]
        else:
            first, last = (round(column[end] / column["step"]) for end in ("low", "high"))
            possible = [i / round(1 / column["step"]) for i in range(first, last + 1)]
        gap = [math.nan] * bool(column.get("missing"))
        values.append(torch.tensor(possible + gap, dtype=torch.float64))
    return torch.cartesian_prod(*values)


def equal(x: Tensor, y: Tensor) -> Tensor:
    """Whether values are equal; missing ones are."""
    return (x == y) | (x.isnan() & y.isnan())


def rows(name: str) -> Tensor:
    """Training rows of a table, and rows whose numbers are far outside."""
    x = torch.from_numpy(rows_of(name))
    far = x[:40].clone()
    for i, column in enumerate(TABLES[name]):
        if column["kind"] != "categorical" and not column.get("closed"):
            spread = float(x[:, i].nan_to_num(0).std()) or 1.0
            step = column.get("step", 1e-3)
            distance = torch.linspace(-6, 6, len(far), dtype=torch.float64) * spread
            far[:, i] = far[:, i] + torch.round(distance / step) * step
    return torch.cat([x[:100], far])
