"""The densities that `bijecta fit` tries on a table, with their budgets in epochs."""

import json
from typing import Any, NamedTuple

# Values that a candidate is trained on in all, so that the first one ends within a minute or two on
# two cores however large the table is. A step of 128 rows of 8 columns took 15 ms, of 512 rows 21.
TRAINED_VALUES = 12_000_000
MIN_EPOCHS, MAX_EPOCHS = 4, 200

# Rows of a step, from so many training rows on.
BATCH_SIZES = {0: 64, 1000: 128, 4000: 256, 12_000: 512}

# Epochs without a better score after which training stops: the average of the weights, which is
# scored, changes slowly.
PATIENCE = 10


class Candidate(NamedTuple):
    """A density to try.

    Args:
        name: for people.
        flow: options of the family `tabular` that differ from a recipe's defaults.
        fit: how it is fitted.
    """

    name: str
    flow: dict[str, Any]
    fit: dict[str, Any]

    @property
    def toml(self) -> str:
        """The sections [flow] and [fit] of its recipe."""
        sections = {"flow": {"family": "tabular", **self.flow}, "fit": self.fit}
        lines = []
        for name, keys in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(v)}" for key, v in keys.items()), ""]
        return "\n".join(lines)


def candidates_of(rows: int, columns: int) -> list[Candidate]:
    """What is tried on a table of so many training rows and columns, the likeliest first."""
    fit = {
        "epochs": min(MAX_EPOCHS, max(MIN_EPOCHS, TRAINED_VALUES // (rows * columns))),
        "patience": PATIENCE,
        "batch_size": max(size for least, size in BATCH_SIZES.items() if rows >= least),
        "threads": 1,  # candidates are trained side by side
    }
    few = rows < 2000
    tried: list[tuple[str, dict[str, Any]]] = [
        ("128 units", {}),
        ("64 units, more dropout", {"hidden": [64, 64], "dropout": 0.3})
        if few
        else ("256 units", {"hidden": [256, 256]}),
        ("128 units, columns in random order", {"order": "random", "seed": 1}),
        ("three layers, residual", {"hidden": [128, 128, 128], "residual": True}),
        ("128 units, columns in reverse", {"order": "reverse"}),
    ]
    return [Candidate(name, flow, fit) for name, flow in tried]
