"""A small table of columns of every kind that depend on each other, and a recipe for it."""

import random
from pathlib import Path

RECIPE = """
[data]
source = "{source}"
{data}
[flow]
family = "{family}"
hidden = [16]
components = 3
{flow}
[fit]
epochs = {epochs}
batch_size = 32
learning_rate = 2e-2
threads = 1
"""

HEADER = "order,when,country,amount,age,fee,by_card,currency,total"


def mixed_lines(rows: int = 300) -> list[str]:
    """Lines of CSV: each kind of column, and a constant, an identifier and a copy.

    The amount depends on the country, the fee on the card, and the age is missing without one.
    """
    draw = random.Random(0)
    lines = []
    for i in range(rows):
        country = draw.choice(["DE", "DE", "DE", "FR", "US"])
        card = draw.random() < 0.6
        amount = round(draw.lognormvariate(2.0 + 2 * (country == "US"), 0.3), 2)
        age = max(18, round(draw.gauss(44, 10))) if card or draw.random() < 0.2 else ""
        fee = draw.gauss(1.0, 0.2) if card else 0.0
        when = (
            f"2026-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d} {draw.randint(8, 20):02d}:00"
        )
        lines.append(
            f"X{9000 + 7 * i},{when},{country},{amount},{age},{fee:.6g},{str(card).lower()},EUR,"
            f"{2 * amount:.2f}"
        )
    return lines


def write_mixed(folder: Path, lines: list[str] | None = None, name: str = "mixed.csv") -> Path:
    """The table as a file."""
    path = folder / name
    path.write_text("\n".join([HEADER, *(mixed_lines() if lines is None else lines)]) + "\n")
    return path


def write_recipe(
    folder: Path,
    data: str = "",
    flow: str = "",
    source: str = "mixed.csv",
    epochs: int = 5,
    family: str = "tabular",
) -> Path:
    """A recipe beside it, with more keys in [data] and [flow]."""
    path = folder / "mixed.toml"
    text = RECIPE.format(source=source, data=data, flow=flow, epochs=epochs, family=family)
    path.write_text(text)
    return path
