"""The tables and their protocols."""

from typing import Literal, NamedTuple

import numpy as np

from tests.helpers.shared_data import SHARED
from training.detectors import Configuration

MAX_ROWS = 10_000

# Tables of OddBench by name on which choices are made; the others are only looked at.
CHOSEN_ON = 16

SEEDS = {"adbench": 5, "oddbench": 2}

Array = np.ndarray


class Task(NamedTuple):
    """A table, divided: what is fitted to, and what is scored.

    Args:
        group: adbench or oddbench.
        name: of the table.
        seed: of all that is random.
        configuration: `clean`: rows that are normal train and others are scored. `contaminated`:
            all rows train, and each is scored by what did not see it.
    """

    group: Literal["adbench", "oddbench"]
    name: str
    seed: int
    configuration: Configuration

    @property
    def key(self) -> str:
        """The same as text."""
        return f"{self.configuration} {self.group} {self.name} {self.seed}"


class Rows(NamedTuple):
    """The rows of a task.

    Args:
        names: of the columns.
        train: N × D.
        test: M × D; the training rows where they are scored themselves.
        labels: M, 1 where a row is an anomaly.
    """

    names: list[str]
    train: Array
    test: Array
    labels: Array


def names_of(group: str) -> list[str]:
    """The tables of a group.

    Raises:
        SystemExit: they are missing.
    """
    paths = sorted((SHARED / group).glob("*.npz"))
    if not paths:
        raise SystemExit(f"{SHARED} lacks {group}: BIJECTA_SHARED_DATA says where it is")
    return [path.stem for path in paths]


def tasks(others: bool) -> list[Task]:
    """All tasks, one seed of each table after another.

    Args:
        others: whether those of OddBench on which no choice was made are among them.
    """
    odd = names_of("oddbench")
    found = [
        Task("adbench", name, seed, configuration)
        for seed in range(SEEDS["adbench"])
        for configuration in ("clean", "contaminated")
        for name in names_of("adbench")
    ]
    found += [
        Task("oddbench", name, seed, "clean")
        for seed in range(SEEDS["oddbench"])
        for name in (odd if others else odd[:CHOSEN_ON])
    ]
    return sorted(found, key=lambda task: task.seed)


def rows_of(task: Task) -> Rows:
    """Read and divide a table."""
    random = np.random.default_rng(task.seed)
    with np.load(SHARED / task.group / f"{task.name}.npz") as arrays:
        if task.group == "oddbench":
            train, test = arrays["train"].astype(np.float64), arrays["test"].astype(np.float64)
            names = [f"{i} {name}" for i, name in enumerate(arrays["feature_names"])]
            kept = random.permutation(len(train))[:MAX_ROWS]
            return Rows(names, train[kept], test, arrays["test_labels"].astype(int))
        rows, labels = arrays["X"].astype(np.float64), arrays["y"].astype(int)
    names = [f"x{i}" for i in range(rows.shape[1])]
    kept = random.permutation(len(rows))[:MAX_ROWS]
    rows, labels = rows[kept], labels[kept]
    if task.configuration == "contaminated":
        return Rows(names, rows, rows, labels)
    normal = random.permutation(np.flatnonzero(labels == 0))
    half = len(normal) // 2
    scored = np.concatenate([normal[half:], np.flatnonzero(labels == 1)])
    return Rows(names, rows[normal[:half]], rows[scored], labels[scored])
