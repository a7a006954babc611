"""Readers by the endings of file names."""

from collections.abc import Callable
from pathlib import Path

from training.data.readers.arrays import read_idx, read_npy, read_npz
from training.data.readers.base import Table, Wanted, few
from training.data.readers.images import read_cifar, read_pictures, read_svhn
from training.data.readers.sounds import has_sounds, read_sounds
from training.data.readers.tables import read_csv, read_parquet
from training.errors import DataError

Reader = Callable[[Path, Wanted], Table]

EVERYTHING = Wanted()


def read(path: Path, wanted: Wanted = EVERYTHING) -> Table:
    """Read a table, images or sounds from a file or folder of a kind that `READERS` knows.

    Args:
        path: the file or folder.
        wanted: `key`, the array of an `.npz` that holds several; `drop`, columns to leave out;
            `labels`, what is kept apart to label rows: a column of any type, another array of an
            `.npz`, or what a reader of images or sounds knows of them; `window`, the samples of a
            row of sound.

    Raises:
        DataError: no such file or column, a format that is not read, or a file that is not of
            its format.
    """
    if not path.exists():
        raise DataError(f"no data file at {path}")
    if path.is_dir():
        ending = "folder of sounds or pictures"
        reader: Reader = read_sounds if has_sounds(path) else read_pictures
    else:
        ending, reader = _by_ending(path)
    try:
        table = reader(path, wanted)
    except DataError:
        raise
    except Exception as error:  # parsers of untrusted bytes fail in every way there is
        raise DataError(f"{path} is not a readable {ending}: {error}") from error
    if wanted.labels is not None and table.labels is None:
        raise DataError(
            f"{path}: no column {wanted.labels!r} of labels: the columns are {few(table.columns)}"
        )
    return table


def _by_ending(path: Path) -> tuple[str, Reader]:
    endings = next((endings for endings in READERS if path.name.endswith(endings)), None)
    if endings is None:
        known = ", ".join(ending for endings in READERS for ending in endings)
        raise DataError(f"{path}: cannot tell the format; file names end in {known}")
    return f"{endings[0]} file", READERS[endings]


READERS: dict[tuple[str, ...], Reader] = {
    (".npy",): read_npy,
    (".npz",): read_npz,
    (".csv", ".tsv"): read_csv,
    (".parquet",): read_parquet,
    (".idx", ".idx.gz", "-ubyte", "-ubyte.gz"): read_idx,
    (".bin",): read_cifar,
    (".mat",): read_svhn,
    (".zip",): read_sounds,
}
