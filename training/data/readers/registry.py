"""Readers by the endings of file names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.config import (
    ArchiveSource,
    FileSource,
    ImageSource,
    SoundSource,
    TableSource,
    one_line,
)
from training.data.readers.arrays import read_idx, read_npy, read_npz
from training.data.readers.base import CheckWidth, Format, Table, abbreviated
from training.data.readers.images import read_cifar, read_pictures, read_svhn
from training.data.readers.sounds import read_sounds
from training.data.readers.tables import (
    ArrowFile,
    open_feather,
    open_parquet,
    read_feather,
    read_parquet,
)
from training.data.readers.text_files import open_csv, read_csv
from training.errors import DataError
from training.memory import machine_memory

TEXT = (".csv", ".tsv", ".txt", ".dat", ".data")
COMPRESSED_TEXT = tuple(e + c for e in TEXT for c in ("", ".gz", ".bz2", ".zst"))

FORMATS = (
    Format(".npy file", (".npy",), read_npy, TableSource),
    Format(".npz file", (".npz",), read_npz, ArchiveSource),
    Format(".csv file", COMPRESSED_TEXT, read_csv, TableSource, open_csv),
    Format(".parquet file", (".parquet",), read_parquet, TableSource, open_parquet),
    Format(".feather file", (".feather", ".arrow"), read_feather, TableSource, open_feather),
    Format(".idx file", (".idx", ".idx.gz", "-ubyte", "-ubyte.gz"), read_idx, TableSource),
    Format(".bin file", (".bin",), read_cifar, ImageSource),
    Format(".mat file", (".mat",), read_svhn, ImageSource),
    Format(".zip file", (".zip",), read_sounds, SoundSource),
    Format("folder of Parquet files", (), read_parquet, TableSource, open_parquet),
    Format("folder of sounds", (), read_sounds, SoundSource),
    Format("folder of pictures", (), read_pictures, ImageSource),
)

PANDAS = "pandas.read_{}(…).to_parquet('rows.parquet') writes it as one that is"

OTHERS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((".xlsx", ".xls", ".ods"), "save it as CSV, or " + PANDAS.format("excel")),
    ((".json",), PANDAS.format("json")),
    ((".jsonl", ".ndjson"), PANDAS.format("json").replace("…", "…, lines=True")),
    ((".h5", ".hdf5", ".hdf"), "numpy.save('rows.npy', h5py.File(…)[name][:]) writes one that is"),
    ((".pkl", ".pickle"), PANDAS.format("pickle")),
    ((".sav",), PANDAS.format("spss")),
    ((".dta",), PANDAS.format("stata")),
    ((".sas7bdat", ".xpt"), PANDAS.format("sas")),
    ((".orc",), PANDAS.format("orc")),
    ((".db", ".sqlite", ".sqlite3"), PANDAS.format("sql")),
    ((".pt", ".pth"), "numpy.save('rows.npy', torch.load(…).numpy()) writes one that is"),
    ((".arff",), "scipy.io.arff.loadarff(…) reads it, and numpy.save('rows.npy', …) writes one"),
    ((".xz", ".lzma"), "decompress it (`xz -d`), or compress it with gzip"),
    ((".tar", ".tgz", ".tar.gz", ".7z", ".rar"), "unpack it, and name a file or the folder"),
    ((".mp3", ".flac", ".ogg", ".m4a"), "sounds are a folder of `.wav`: `ffmpeg -i … -ac 1 x.wav`"),
)
"""Formats that people have and that are not read: endings, and what to do."""


def read(path: Path, source: FileSource) -> Table:
    """Read a table, an array, images or sounds from a file or folder in one of `FORMATS`.

    Args:
        path: the file or folder: the source's own, or one that it holds out.
        source: how to read it.

    Raises:
        DataError: no such file or column, a format that is not read, or a file that is not of
            its format.
    """
    table: Table = _opened(path, source, lambda known: known.read)
    if source.labels is not None and table.labels is None:
        raise DataError(
            f"{path}: no column {source.labels!r} of labels: the columns are "
            f"{abbreviated(table.columns)}"
        )
    return table


def open_table(path: Path, source: FileSource, check_width: CheckWidth) -> Table | ArrowFile:
    """Read a file as `read` does, but tables of columns of any type as they are.

    Args:
        path: the file or folder.
        source: how to read it.
        check_width: is called with the number of columns of such a table before it is read.

    Raises:
        DataError: as of `read`, and what `check_width` raises.
    """

    def how(known: Format) -> Callable[[Path, FileSource], Table | ArrowFile]:
        if (opens := known.open) is None:
            return known.read
        return lambda path, source: opens(path, source, check_width)

    opened: Table | ArrowFile = _opened(path, source, how)
    return opened


def has_columns(path: Path, source: FileSource) -> bool:
    """Whether a file is of a format whose columns can be of any kind.

    Raises:
        DataError: no such file, or a format that is not read.
    """
    if not path.exists():
        raise DataError(f"no data file at {path}")
    return _format(path, source).open is not None


def _opened(path: Path, source: FileSource, how: Callable[[Format], Callable[..., Any]]) -> Any:
    """What the function of a path's format makes of it; all errors are of `DataError`."""
    if not path.exists():
        raise DataError(f"no data file at {path}")
    file_format = _format(path, source)
    try:
        return how(file_format)(path, source)
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{path} takes more memory than this machine has, {machine_memory() / 1e9:.3g} GB: "
            f"{one_line(error)}"
        ) from None
    except Exception as error:  # parsers of untrusted bytes fail in every way there is
        raise DataError(
            f"{path} is not a readable {file_format.name}: {one_line(error)}"
        ) from error


def _format(path: Path, source: FileSource) -> Format:
    if path.is_dir():
        formats = [known for known in FORMATS if not known.endings]
    else:
        formats = [known for known in FORMATS if path.name.lower().endswith(known.endings)]
    if not formats:
        for endings, advice in OTHERS:
            if path.name.lower().endswith(endings):
                raise DataError(f"{path} is of a format that is not read: {advice}")
        known_endings = ", ".join(ending for known in FORMATS for ending in known.endings)
        raise DataError(f"{path}: cannot tell the format; file names end in {known_endings}")
    for known in formats:
        if isinstance(source, known.source):
            return known
    kinds = " or ".join(known.source.model_fields["kind"].default for known in formats)
    raise DataError(f"{path} is of kind {kinds}, but [data] says kind {source.kind}")
