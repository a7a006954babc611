"""The tables: each is written as a file that a user could have."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tests.helpers.shared_data import SHARED

Write = Callable[[Path], Path]
"""From a folder to the file of a table in it."""


def tables() -> dict[str, tuple[str, Write]]:
    """Name of each table → its collection, and what writes it.

    Raises:
        SystemExit: data is missing; says what.
    """
    groups = ("oddbench", "adbench", "wine_quality", "power_head", "payments")
    if missing := [name for name in groups if not (SHARED / name).is_dir()]:
        raise SystemExit(f"{SHARED} lacks {', '.join(missing)}: BIJECTA_SHARED_DATA says where")
    found: dict[str, tuple[str, Write]] = {}
    for path in sorted((SHARED / "oddbench").glob("*.npz")):
        found[_name("odd", path)] = ("oddbench", _oddbench(path))
    for path in sorted((SHARED / "adbench").glob("*.npz")):
        found[_name("ad", path)] = ("adbench", _adbench(path))
    for path in sorted((SHARED / "wine_quality").glob("*.csv")):
        found[_name("wine", path)] = ("wine", _file(path))
    found["power"] = ("power", _power)
    found["payments"] = ("payments", _payments)
    return found


def _name(group: str, path: Path) -> str:
    """A name that a model can have."""
    return f"{group}-{path.stem.lower()}"


def _file(path: Path) -> Write:
    return lambda _: path


def _oddbench(path: Path) -> Write:
    def write(folder: Path) -> Path:
        with np.load(path) as arrays:
            names = [str(name) for name in arrays["feature_names"]]
            return _parquet(folder / f"{path.stem}.parquet", arrays["train"], names)

    return write


def _adbench(path: Path) -> Write:
    def write(folder: Path) -> Path:
        with np.load(path) as arrays:
            rows = arrays["X"]
            names = [f"x{i}" for i in range(rows.shape[1])]
            return _parquet(folder / f"{path.stem}.parquet", rows, names)

    return write


def _power(folder: Path) -> Path:
    """A month of a household, in which values are missing, with the time of each row."""
    with np.load(SHARED / "power_head" / "power_head_raw.npz") as arrays:
        columns = {str(name): arrays["x"][:, i] for i, name in enumerate(arrays["columns"][:7])}
        first = np.datetime64("2006-12-16T00:00", "s")
        days, minutes = (arrays[name].astype(np.int64) for name in ("day", "minute"))
        columns["time"] = first + (days * 1440 + minutes) * np.timedelta64(60, "s")
    path = folder / "power.parquet"
    pyarrow.parquet.write_table(
        pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}),
        path,
    )
    return path


def _payments(folder: Path) -> Path:
    made = SHARED / "payments" / "make.py"
    subprocess.run([sys.executable, str(made), str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder / "payments.csv"


def _parquet(path: Path, rows: np.ndarray, names: list[str]) -> Path:
    columns = {name: pa.array(rows[:, i], from_pandas=True) for i, name in enumerate(names)}
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path
