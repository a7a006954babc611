"""The files of a run, one after another: opened, looked at, and read piece by piece."""

import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from service.bulk.arrow import FILE_MAGIC, ArrowFileSource, ArrowStreamSource, ParquetSource
from service.bulk.pieces import BulkError, FileError, Piece, Place, Skipped, Source
from service.bulk.rows import chosen_columns, model_rows
from service.bulk.text import CsvSource, NdjsonSource
from service.bundle import AnyManifest
from service.errors import ServiceError, few

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
}
FORMATS = ("parquet", "arrow", "arrow-stream", "csv", "ndjson")

# Rows and numbers of a piece, at most.
PIECE_ROWS = 2**16
PIECE_NUMBERS = 2**20


class Part(NamedTuple):
    """A piece of a file.

    Args:
        file: the number, among the inputs, of the file in which reading goes on behind it.
        shown: the name of its own file.
        piece: of it.
    """

    file: int
    shown: str
    piece: Piece


def format_of(name: str, given: str | None, option: str) -> str:
    """The format of a file, by its ending unless it is given.

    Raises:
        BulkError: neither says.
    """
    if given is not None:
        return given
    ending = Path(name).suffix.lower()
    if name == PIPE or ending not in ENDINGS:
        what = "standard input and output have" if name == PIPE else f"{name} has"
        raise BulkError(
            f"{what} no ending that says the format: {option} is one of {', '.join(FORMATS)}"
        )
    return ENDINGS[ending]


def expanded(names: Sequence[str]) -> list[str]:
    """Names of files, with folders as the files in them that have a known ending, by name.

    Raises:
        BulkError: a folder has none, or standard input is one of several.
    """
    files: list[str] = []
    for name in names:
        if name != PIPE and (folder := Path(name)).is_dir():
            inside = [str(p) for p in sorted(folder.iterdir()) if p.suffix.lower() in ENDINGS]
            if not inside:
                raise BulkError(f"{name}: there is no file in it that ends in {', '.join(ENDINGS)}")
            files += inside
        else:
            files.append(name)
    if PIPE in files and len(files) > 1:
        raise BulkError("standard input is one of several inputs: expected it alone")
    return files


class Inputs:
    """Files of rows of one model.

    Args:
        files: their names.
        given_format: of all of them; None for each by its ending.
        manifest: of the model.
        keep: columns that stand beside the scores.

    Attributes:
        kept: the `pyarrow.Schema` of these columns, from the first file that has them.
        notes: what was found out about a file, for people.
    """

    def __init__(
        self,
        files: Sequence[str],
        given_format: str | None,
        manifest: AnyManifest,
        keep: Sequence[str],
        kept: Any = None,
    ) -> None:
        self.files = files
        self.kept = kept
        self.notes: list[str] = []
        self._formats = [format_of(name, given_format, "--format") for name in files]
        self._manifest = manifest
        self._keep = keep
        self._rows = max(1, min(PIECE_ROWS, PIECE_NUMBERS // (manifest.dimensions + len(keep))))

    def parts(self, file: int, place: Place) -> Iterator[Part | None]:
        """What follows a place of a file, to the end of the last one.

        A file of which nothing can be read is a part without rows. None comes where more rows of a
        pipe may be long in coming.
        """
        for i in range(file, len(self.files)):
            shown = shown_name(self.files[i])
            source: Source | None = None
            try:
                source = open_source(self.files[i], self._formats[i], self._rows)
                read = self._checked(shown, source)
                for piece in source.pieces(read, self.kept, place):
                    yield None if piece is None else Part(i, shown, piece)
            except FileError as error:
                yield Part(i + 1, shown, self._nothing(shown, error))
            finally:
                if source is not None:
                    source.close()
            place = {}

    def _checked(self, shown: str, source: Source) -> Sequence[str]:
        """The columns that are read of a file, which are those of the model.

        Raises:
            FileError: they are not, or those to be kept are not like those of the files before.
        """
        kept = source.kept_schema(self._keep)
        if self.kept is not None and kept != self.kept:
            for now, before in zip(kept, self.kept, strict=True):
                if now.type != before.type:
                    raise FileError(
                        f"{shown}: column {now.name!r:.80} is of {now.type}, and of {before.type} "
                        "in the files before"
                    )
        read = chosen_columns(self._manifest, source.names, self._keep)
        try:
            model_rows(self._manifest, source.empty(read), 0)
        except ServiceError as error:
            raise FileError(f"{shown}: {error}") from None
        if others := [name for name in source.names if name not in {*read, *self._keep}]:
            self.notes.append(f"{shown}: columns that are not read: {few(others)}")
        self.kept = kept if self.kept is None else self.kept
        return read

    def _nothing(self, shown: str, error: FileError) -> Piece:
        skipped = [Skipped(shown, str(error).removeprefix(f"{shown}: "), rows=0)]
        kept = None if self.kept is None else self.kept.empty_table()
        return Piece(np.zeros(0, np.int64), dict, kept, {}, 1.0, skipped=skipped)


def shown_name(name: str) -> str:
    """A file's name for people."""
    return "standard input" if name == PIPE else name


def open_source(name: str, file_format: str, rows: int) -> Source:
    """A file of rows.

    Args:
        name: of it, `-` for standard input.
        file_format: one of `FORMATS`.
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
        with Path(name).open("rb") as beginning:
            is_file = beginning.read(len(FILE_MAGIC)) == FILE_MAGIC
        if is_file:
            return ArrowFileSource(shown, Path(name), rows)
        return ArrowStreamSource(shown, Path(name).open("rb"), rows)
    except OSError as error:
        raise FileError(f"{shown}: {error.strerror or error}") from None


def _binary_pipe(shown: str, file_format: str, rows: int) -> Source:
    pipe = cast(BufferedReader, sys.stdin.buffer)
    if file_format == "parquet":
        # its table of contents stands at its end; the source closes the file
        whole = tempfile.TemporaryFile()  # noqa: SIM115
        shutil.copyfileobj(pipe, whole)
        whole.seek(0)
        return ParquetSource(shown, whole, rows)
    if pipe.peek(len(FILE_MAGIC)).startswith(FILE_MAGIC):
        pipe.read(8)  # a file is a stream, with marks before and behind
    return ArrowStreamSource(shown, pipe, rows, is_pipe=True)
