"""Which source reads a file: by the format that its ending says, or that is given."""

import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from io import BufferedReader, FileIO
from pathlib import Path
from typing import cast

from service.bulk.pieces import BulkError, FileError, Source
from service.bulk.sources.arrow import (
    FILE_MAGIC,
    ArrowFileSource,
    ArrowStreamSource,
    ParquetSource,
)
from service.bulk.sources.csv import CsvSource
from service.bulk.sources.ndjson import NdjsonSource
from service.bulk.sources.npy import NpySource

PIPE = "-"
"""The name of standard input and output."""

ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrow-stream",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".npy": "npy",
}
FORMATS = ("parquet", "arrow", "arrow-stream", "csv", "ndjson")
"""Of outputs."""

INPUT_FORMATS = (*FORMATS, "npy")


def format_of(
    name: str, given: str | None, option: str, formats: Sequence[str] = INPUT_FORMATS
) -> str:
    """The format of a file, by its ending unless it is given.

    Raises:
        BulkError: neither says, or it is none of these.
    """
    if given is not None and given in formats:
        return given
    ending = Path(name).suffix.lower()
    if name == PIPE or ENDINGS.get(ending) not in formats:
        what = "standard input and output have" if name == PIPE else f"{name} has"
        raise BulkError(
            f"{what} no ending that says the format: {option} is one of {', '.join(formats)}"
        )
    return ENDINGS[ending]


def shown_name(name: str) -> str:
    """A file's name for people."""
    return "standard input" if name == PIPE else name


def open_source(name: str, file_format: str, rows: int) -> Source:
    """A file of rows.

    Args:
        name: of it, `-` for standard input.
        file_format: one of `INPUT_FORMATS`.
        rows: of a piece, at most.

    Raises:
        FileError: it cannot be opened, or is not of its format.
    """
    shown = shown_name(name)
    try:
        if file_format in ("csv", "ndjson"):
            file = FileIO(sys.stdin.fileno() if name == PIPE else name, closefd=name != PIPE)
            status = Path(f"/dev/fd/{file.fileno()}").stat()
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            kind = CsvSource if file_format == "csv" else NdjsonSource
            return kind(shown, file, size, rows)
        if name == PIPE:
            return _binary_pipe(shown, file_format, rows)
        if file_format == "parquet":
            return ParquetSource(shown, Path(name), rows)
        if file_format == "npy":
            return NpySource(shown, Path(name), rows)
        with Path(name).open("rb") as beginning:
            is_file = beginning.read(len(FILE_MAGIC)) == FILE_MAGIC
        if is_file:
            return ArrowFileSource(shown, Path(name), rows)
        return ArrowStreamSource(shown, Path(name).open("rb"), rows)
    except OSError as error:
        raise FileError(f"{shown}: {error.strerror or error}") from None


def _binary_pipe(shown: str, file_format: str, rows: int) -> Source:
    pipe = cast(BufferedReader, sys.stdin.buffer)
    if file_format == "npy":
        raise FileError(f"{shown}: a .npy file is read from a path, not from a pipe")
    if file_format == "parquet":
        # its table of contents stands at its end; the source closes the file
        whole = tempfile.TemporaryFile()  # noqa: SIM115
        shutil.copyfileobj(pipe, whole)
        whole.seek(0)
        return ParquetSource(shown, whole, rows)
    if pipe.peek(len(FILE_MAGIC)).startswith(FILE_MAGIC):
        pipe.read(8)  # a file is a stream, with marks before and behind
    return ArrowStreamSource(shown, pipe, rows, is_pipe=True)
