"""The files of a run, one after another: opened, looked at, and read piece by piece."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.bulk.pieces import BulkError, FileError, Piece, Place, Skipped, Source
from service.bulk.scorers import chosen_columns, model_rows
from service.bulk.sources import ENDINGS, PIPE, format_of, open_source, shown_name
from service.bundle import AnyManifest
from service.errors import ServiceError, few

# Rows and numbers of a piece, at most.
PIECE_ROWS = 2**16
PIECE_NUMBERS = 2**20


class Part(NamedTuple):
    """A piece of a file.

    Args:
        number: of the file among the inputs.
        shown: its name.
        piece: of it.
        is_last: whether nothing more can be read of the file.
    """

    number: int
    shown: str
    piece: Piece
    is_last: bool = False


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
                yield Part(i, shown, self._nothing(shown, error), is_last=True)
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
