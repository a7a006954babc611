"""The published preparation of the five tables that density models are compared on.

Papamakarios et al. 2017 (MAF), appendix D, and the code that came with it: which rows and columns
are left out, what noise is added, which rows test. The columns are those of the publication, even
the minute of the day in `power`, which is discrete.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from training.errors import DataError
from training.memory import check_fits

if TYPE_CHECKING:
    from torch import Tensor

Rows = NDArray[np.float64]

Patches = TypeVar("Patches", Rows, "Tensor")

# The seed of the published shuffle and noise; it also replaces seeds that were not published.
SEED = 42

# A column whose smallest value occurs in more rows than this counts as discrete and is left out.
MAX_ROWS_OF_SMALLEST_VALUE = 5

# Of two columns whose correlation is above this, one is left out.
MAX_CORRELATION = 0.98


class PublishedRows(NamedTuple):
    """Rows to train on, to validate with, and to test with; each N × D."""

    train: Rows
    validation: Rows
    test: Rows


def power(path: Path) -> PublishedRows:
    """Household power: 6 columns, shuffled, with noise as wide as each column's rounding.

    Args:
        path: `household_power_consumption.txt` as the UCI repository has it, or an `.npy` of its
            7 measurements and the minute of the day, 8 columns.
    """
    rows = _array(path, 8) if path.suffix == ".npy" else _power_text(path)
    rng = np.random.RandomState(SEED)
    rng.shuffle(rows)
    # reactive power and intensity are left out: active power, voltage, three meters, minute
    rows = rows[:, [0, 2, 4, 5, 6, 7]]
    n = len(rows)
    voltage, active, meters = 0.01 * rng.rand(n, 1), 0.001 * rng.rand(n, 1), rng.rand(n, 3)
    return _standardized(_tails(rows + np.hstack([active, voltage, meters, np.zeros((n, 1))])))


def gas(path: Path) -> PublishedRows:
    """Gas sensors: 8 of 16 channels, none correlated above 0.98 with one that is kept.

    Args:
        path: `ethylene_CO.txt` as the UCI repository has it, of which a quarter of the rows is
            drawn, as for the published file, whose seed is not known; or an `.npy` of the 16
            channels, taken whole and in its order.
    """
    if path.suffix == ".npy":
        rows = _array(path, 16)
    else:
        rows = _loaded_text(path, skip=1, columns=19)[:, 3:]
        order = np.random.RandomState(SEED).permutation(len(rows))
        rows = rows[order[: round(len(rows) / 4)]]
    while len(correlated := np.flatnonzero((np.corrcoef(rows.T) > MAX_CORRELATION).sum(1) > 1)):
        rows = np.delete(rows, correlated[0], axis=1)
    return _tails((rows - rows.mean(0)) / rows.std(0, ddof=1))


def hepmass(path: Path) -> PublishedRows:
    """Particle collisions: the signal's 21 columns without repeated values.

    Args:
        path: the folder of `1000_train.csv` and `1000_test.csv`, either with `.gz`, as the UCI
            repository has them.
    """
    train, test = (_hepmass_signal(path, f"1000_{name}.csv") for name in ("train", "test"))
    # each line of the test file ends in one more value
    test = test[:, : train.shape[1]]
    mean, scale = train.mean(0), train.std(0, ddof=1)
    continuous = _is_continuous((train - mean) / scale)
    train, test = (((rows - mean) / scale)[:, continuous] for rows in (train, test))
    n_validation = len(train) // 10
    return PublishedRows(train[:-n_validation], train[-n_validation:], test)


def miniboone(path: Path) -> PublishedRows:
    """Neutrino events: the signal's 43 columns without repeated values.

    Args:
        path: `MiniBooNE_PID.txt` as the UCI repository has it, or the published `data.npy`.
    """
    if path.suffix == ".npy":
        rows = _array(path, 43)
    else:
        with path.open() as file:
            signal, _ = map(int, file.readline().split())
        rows = _loaded_text(path, skip=1, columns=50, max_rows=signal)
        rows = rows[rows[:, 0] >= -100]
        rows = rows[:, _is_continuous(rows)]
    return _standardized(_tails(rows))


def bsds300(path: Path) -> PublishedRows:
    """Natural image patches: 63 of 8 × 8 pixels in [0, 1], with noise, minus the patch's mean.

    Args:
        path: `BSDS300.hdf5` as published, ready; or the folder of `train.npy`, `validation.npy`
            and `test.npy`, patches of 64 pixels 0–255 that are prepared in the same way.
    """
    if path.is_file():
        import h5py

        with h5py.File(path) as file:
            for name in PublishedRows._fields:
                check_fits(path, f"{name} of shape {file[name].shape}", 8 * file[name].size)
            return PublishedRows(
                *(np.asarray(file[name], np.float64) for name in PublishedRows._fields)
            )
    rng = np.random.RandomState(SEED)
    splits = []
    for name in PublishedRows._fields:
        pixels = _array(path / f"{name}.npy", 64)
        splits.append(less_mean((pixels + rng.rand(*pixels.shape)) / 256))
    return PublishedRows(*splits)


def less_mean(patches: Patches) -> Patches:
    """Patches minus their mean, without the last pixel, which then follows: N × 64 → N × 63."""
    rows: Patches = (patches - patches.mean(1)[:, None])[:, :-1]
    return rows


PROTOCOLS: dict[str, Callable[[Path], PublishedRows]] = {
    "power": power,
    "gas": gas,
    "hepmass": hepmass,
    "miniboone": miniboone,
    "bsds300": bsds300,
}


def read(name: str, path: Path) -> PublishedRows:
    """The rows of a published protocol.

    Args:
        name: a key of `PROTOCOLS`.
        path: the file or folder that the docstring of the protocol's function describes.

    Raises:
        DataError: there is no such file or folder, or it holds something else.
    """
    if not path.exists():
        raise DataError(f"no data at {path}; protocol {name!r} expects {_expected_files(name)}")
    try:
        return PROTOCOLS[name](path)
    except DataError:
        raise
    except Exception as error:  # parsers of untrusted bytes fail in every way there is
        raise DataError(
            f"{path} is not what protocol {name!r} expects, {_expected_files(name)}: {error}"
        ) from error


def _expected_files(name: str) -> str:
    text = PROTOCOLS[name].__doc__ or ""
    return " ".join(text.partition("path: ")[2].split()).rstrip(".")


def _array(path: Path, columns: int) -> Rows:
    read = np.load(path, allow_pickle=False)
    rows = _of_width(read.reshape(len(read), -1).astype(np.float64), columns)
    return rows[~np.isnan(rows).any(1)]


def _loaded_text(path: Path, skip: int, columns: int, max_rows: int | None = None) -> Rows:
    return _of_width(np.loadtxt(path, skiprows=skip, max_rows=max_rows, ndmin=2), columns)


def _of_width(rows: Rows, columns: int) -> Rows:
    if rows.shape[1] != columns:
        raise ValueError(f"expected {columns} columns, got {rows.shape[1]}")
    return rows


def _power_text(path: Path) -> Rows:
    table = pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter=";"),
        convert_options=pyarrow.csv.ConvertOptions(
            null_values=["?", ""], column_types={"Date": pa.string(), "Time": pa.string()}
        ),
    ).drop_null()
    times = (time.split(":") for time in table["Time"].to_pylist())
    minutes = [60 * int(hours) + int(minutes) for hours, minutes, *_ in times]
    columns = [column.to_numpy() for column in table.columns[2:]]
    return np.column_stack([*columns, minutes]).astype(np.float64)


def _hepmass_signal(folder: Path, name: str) -> Rows:
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise DataError(f"no {name} in {folder}")
    options = pyarrow.csv.ReadOptions(skip_rows=1, autogenerate_column_names=True)
    table = pyarrow.csv.read_csv(path, read_options=options)
    rows = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float64)
    return rows[rows[:, 0] == 1, 1:]


def _is_continuous(rows: Rows) -> NDArray[np.bool_]:
    """Which columns are continuous, by how often their smallest value is repeated."""
    return (rows == rows.min(0)).sum(0) <= MAX_ROWS_OF_SMALLEST_VALUE  # type: ignore[no-any-return]


def _tails(rows: Rows) -> PublishedRows:
    """Split off the last tenth to test, and the last tenth of the rest to validate."""
    train, test = np.split(rows, [len(rows) - len(rows) // 10])
    train, validation = np.split(train, [len(train) - len(train) // 10])
    return PublishedRows(train, validation, test)


def _standardized(splits: PublishedRows) -> PublishedRows:
    """Standardize by mean and deviation of all rows that do not test."""
    not_test = np.concatenate(splits[:2])
    mean, scale = not_test.mean(0), not_test.std(0)
    return PublishedRows(*((rows - mean) / scale for rows in splits))
