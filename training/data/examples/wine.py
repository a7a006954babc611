"""Scikit-learn's wine as a file: `python -m training.data.examples.wine FILE.csv`.

178 wines of three cultivars, 13 readings of each (Aeberhard & Forina, UCI): a small table for
`make serve`, `bijecta fit` and the pages.
"""

import csv
import sys
from pathlib import Path

from sklearn.datasets import load_wine


def write_wine(path: Path) -> None:
    """Write the table: the readings and, last, the cultivar."""
    wine = load_wine()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*wine.feature_names, "cultivar"])
        writer.writerows(
            [*reading, f"cultivar {target + 1}"]
            for reading, target in zip(wine.data.tolist(), wine.target.tolist(), strict=True)
        )


if __name__ == "__main__":
    write_wine(Path(sys.argv[1]))
