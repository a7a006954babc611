"""The densities that `bijecta fit` tries on a table, with their budgets in epochs."""

import json
from typing import Any, NamedTuple

# Rows that a candidate is trained on in all, so that a first one ends within minutes on two cores
# however large the table is.
TRAINED_ROWS = 3_000_000
MIN_EPOCHS, MAX_EPOCHS = 4, 200


class Candidate(NamedTuple):
    """A density to try.

    Args:
        name: for people.
        flow: options of the family `tabular` that differ from a recipe's defaults.
        epochs: at most so many.
    """

    name: str
    flow: dict[str, Any]
    epochs: int

    @property
    def toml(self) -> str:
        """The sections [flow] and [fit] of its recipe."""
        options = {"family": "tabular", **self.flow}
        lines = ["[flow]", *(f"{key} = {json.dumps(value)}" for key, value in options.items())]
        return "\n".join([*lines, "", "[fit]", f"epochs = {self.epochs}", ""])


def candidates_of(rows: int) -> list[Candidate]:
    """What is tried on a table of so many training rows, the likeliest first."""
    epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, TRAINED_ROWS // rows))
    few = rows < 2000
    tried: list[tuple[str, dict[str, Any]]] = [
        ("128 units", {}),
        ("128 units, columns in random order", {"order": "random", "seed": 1}),
        ("64 units, more dropout", {"hidden": [64, 64], "dropout": 0.3})
        if few
        else ("256 units", {"hidden": [256, 256]}),
        ("three layers, residual", {"hidden": [128, 128, 128], "residual": True}),
        ("128 units, columns in reverse", {"order": "reverse"}),
    ]
    return [Candidate(name, flow, epochs) for name, flow in tried]
