"""The densities that `bijecta fit` tries on a table, with their budgets in epochs."""

from typing import Any, NamedTuple

from training.config import text_of

# Values that a candidate is trained on in all, so that the first ones end within a minute or two on
# two cores however large the table is. A step of 512 rows of 8 columns took 11 ms of one core.
TRAINED_VALUES = 24_000_000
# Of 700 rows of 8 columns the last of 200 epochs was the best.
MIN_EPOCHS, MAX_EPOCHS = 4, 500

# Rows of a step, from so many training rows on.
BATCH_SIZES = {0: 64, 1000: 128, 4000: 256, 12_000: 512}

# Epochs without a better score after which training stops: the average of the weights, which is
# scored, changes slowly.
PATIENCE = 10

# Few rows are learned by heart within 30 epochs of ten steps. Of 430 rows of 8 columns 256 units of
# which half are dropped took 100 epochs, and scored 0.5 nats better than 128 units of which a tenth
# are dropped; of 444 rows of 3 columns alike. A candidate takes 2 to 10 s on so few.
FEW_ROWS = 2000
HALF_DROPPED: dict[str, Any] = {"hidden": [256, 256], "dropout": 0.5}


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
        return text_of({"flow": {"family": "tabular", **self.flow}, "fit": self.fit})


def candidates_of(rows: int, columns: int) -> list[Candidate]:
    """What is tried on a table of so many training rows and columns, the likeliest first."""
    fit = {
        "epochs": min(MAX_EPOCHS, max(MIN_EPOCHS, TRAINED_VALUES // (rows * columns))),
        "patience": PATIENCE,
        "batch_size": max(size for least, size in BATCH_SIZES.items() if rows >= least),
        "threads": 1,  # candidates are trained side by side
    }
    random = {"order": "random", "seed": 1}
    tried: list[tuple[str, dict[str, Any]]] = [("128 units", {})]
    if rows < FEW_ROWS:
        tried += [
            ("256 units, half of them dropped", HALF_DROPPED),
            ("64 units, more dropout", {"hidden": [64, 64], "dropout": 0.3}),
            ("256 units, half of them dropped, columns in random order", HALF_DROPPED | random),
        ]
    else:
        tried.append(("256 units", {"hidden": [256, 256]}))
    tried += [
        ("128 units, columns in random order", random),
        ("three layers, residual", {"hidden": [128, 128, 128], "residual": True}),
        ("128 units, columns in reverse", {"order": "reverse"}),
    ]
    return [Candidate(name, flow, fit) for name, flow in tried]
