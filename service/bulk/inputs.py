"""The files of a run, one after another: opened, looked at, and read piece by piece."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.bulk.pieces import BulkError, FileError, Piece, Place, Skipped, Source, plain_type
from service.bulk.scorers import column_choice, model_rows
from service.bulk.sources import (
    ENDINGS,
    PIPE,
    NdjsonSource,
    format_of,
    open_source,
    shown_name,
)
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


class Span(NamedTuple):
    """A part of a file that can be read apart.

    Args:
        number: of the file among the inputs.
        start: where it begins.
        stop: where the next one does; None at the end of the file.
    """

    number: int
    start: Place
    stop: Place | None = None


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
        self.given_format = given_format
        self.keep = keep
        self.kept = kept
        self.notes: list[str] = []
        self._formats = [format_of(name, given_format, "--format") for name in files]
        self._manifest = manifest
        self._rows = max(1, min(PIECE_ROWS, PIECE_NUMBERS // (manifest.dimensions + len(keep))))

    def parts(self, file: int, place: Place) -> Iterator[Part | None]:
        """What follows a place of a file, to the end of the last one.

        A file of which nothing can be read is a part without rows. None comes where more rows of a
        pipe may be long in coming.
        """
        for number in range(file, len(self.files)):
            yield from self.parts_of(Span(number, place if number == file else {}))

    def parts_of(self, span: Span) -> Iterator[Part | None]:
        """The same of a part of one file."""
        shown = shown_name(self.files[span.number])
        source: Source | None = None
        try:
            source = self._opened(span.number)
            read = self._checked(shown, source)
            for piece in source.pieces(read, self.kept, span.start, span.stop):
                yield None if piece is None else Part(span.number, shown, piece)
        except FileError as error:
            yield Part(span.number, shown, self._nothing(shown, error), is_last=True)
        finally:
            if source is not None:
                source.close()

    def spans(self, file: int, place: Place) -> Iterator[Span | Part]:
        """Parts of files that can be read apart, in the order of their rows, from a place on.

        A file of which nothing can be read is a part without rows.
        """
        for number in range(file, len(self.files)):
            shown = shown_name(self.files[number])
            source: Source | None = None
            try:
                source = self._opened(number)
                self._checked(shown, source)
                starts = source.starts(place if number == file else {})
            except FileError as error:
                yield Part(number, shown, self._nothing(shown, error), is_last=True)
            else:
                for start, stop in zip(starts, [*starts[1:], None], strict=True):
                    yield Span(number, start, stop)
            finally:
                if source is not None:
                    source.close()

    def _opened(self, number: int) -> Source:
        return open_source(self.files[number], self._formats[number], self._rows)

    def _checked(self, shown: str, source: Source) -> Sequence[str]:
        """The columns that are read of a file, which are those of the model.

        Raises:
            FileError: they are not, or those to be kept are not like those of the files before.
        """
        kept = source.kept_schema(self.keep)
        if self.kept is not None and kept != self.kept:
            for now, before in zip(kept, self.kept, strict=True):
                if plain_type(now.type) != plain_type(before.type):
                    raise FileError(
                        f"{shown}: column {now.name!r:.80} is of {now.type}, and of {before.type} "
                        "in the files before"
                    )
        is_read = column_choice(self._manifest, source.names, self.keep)
        if isinstance(source, NdjsonSource):
            source.is_read = is_read  # of later names
        read = list(filter(is_read, source.names))
        try:
            model_rows(self._manifest, source.empty(read), 0)
        except ServiceError as error:
            raise FileError(f"{shown}: {error}") from None
        if others := [name for name in source.names if name not in {*read, *self.keep}]:
            self.notes.append(f"{shown}: columns that are not read: {few(others)}")
        self.kept = kept if self.kept is None else self.kept
        return read

    def _nothing(self, shown: str, error: FileError) -> Piece:
        skipped = [Skipped(shown, str(error).removeprefix(f"{shown}: "), rows=0)]
        kept = None if self.kept is None else self.kept.empty_table()
        return Piece(np.zeros(0, np.int64), dict, kept, {}, 1.0, skipped=skipped)
