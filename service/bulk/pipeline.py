"""A run: files to scored rows, in constant memory, in their order, and to the same file if killed.

Scored pieces are kept in a folder beside the output (`journal`), and written as one file at the
end. To standard output they go as they come.
"""

import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import pyarrow as pa

from service.bulk.inputs import PIPE, Inputs, Part, expanded, format_of
from service.bulk.journal import Journal, write_whole
from service.bulk.output import Writer, open_writer, write_file
from service.bulk.pieces import BulkError, Skipped
from service.bulk.progress import Progress
from service.bulk.scoring import Scored, Scorer
from service.errors import few

LAYOUT = 1
"""Of pieces and files: with another one a run begins anew."""

FILE, ROW = "file", "row"
"""Columns of every output: the name of the input where there are several, and the row in it."""


@dataclass(frozen=True)
class Job:
    """What is to be done.

    Args:
        inputs: files, folders of files, or `-`.
        out: a file, or `-`.
        keep: columns that stand beside the scores.
        format, out_format: of inputs and output; None for what their endings say.
        skips: whether rows that cannot be scored are passed over; else they end the run.
        report: the file that lists them; None for OUT.skipped.ndjson.
        overwrite: whether a file may be at the output's place.
        restart: whether unfinished work is thrown away.
        is_quiet: whether to say nothing on the way.
    """

    inputs: Sequence[str]
    out: str
    keep: Sequence[str] = ()
    format: str | None = None
    out_format: str | None = None
    skips: bool = False
    report: str | None = None
    overwrite: bool = False
    restart: bool = False
    is_quiet: bool = False


@dataclass
class Outcome:
    """What a run came to: rows with a score, and rows, or files, without."""

    rows: int
    skipped: int


class _Sink(Protocol):
    """Where scored rows go."""

    def add(self, table: Any, skipped: list[Skipped], part: Part) -> None:
        """Take the rows of a part."""
        ...


def run(job: Job, scorer: Scorer) -> Outcome:
    """Score files.

    Raises:
        BulkError: the run ended early; names file, row and column where one is to blame.
        OSError: the output cannot be written.
    """
    files = expanded(job.inputs)
    if len(set(job.keep)) < len(job.keep):
        raise BulkError("--keep names a column twice")
    own = [FILE] * (len(files) > 1) + [ROW, *scorer.schema.names]
    if twice := [name for name in job.keep if name in own]:
        raise BulkError(f"--keep {few(twice)}: the output has a column of that name: rename it")
    inputs = Inputs(files, job.format, scorer.manifest, job.keep)
    if job.out == PIPE:
        out_format = job.out_format or format_of(files[0], job.format, "--out-format")
        return _to_pipe(job, scorer, inputs, out_format)
    return _to_file(job, scorer, inputs, format_of(job.out, job.out_format, "--out-format"))


class _Run:
    """Rows of inputs, scored several pieces at a time, given on in their order.

    Args:
        job: what is to be done.
        scorer: gives the scores.
        inputs: the files.
        rows: that are done already.
    """

    def __init__(self, job: Job, scorer: Scorer, inputs: Inputs, rows: int = 0) -> None:
        self._job = job
        self._scorer = scorer
        self._inputs = inputs
        self._has_file = len(inputs.files) > 1
        self.rows, self.skipped = rows, 0
        sizes = [0 if name == PIPE else _size(name) for name in inputs.files]
        self._progress = Progress(sizes, rows, job.is_quiet)
        self._noted = 0
        self._early: list[Skipped] = []  # of files before the first that could be opened

    def schema(self) -> Any:
        """Of the output; None before a file could be opened."""
        if self._inputs.kept is None:
            return None
        fields = [pa.field(FILE, pa.string())] * self._has_file + [pa.field(ROW, pa.int64())]
        return pa.schema([*fields, *self._inputs.kept, *self._scorer.schema])

    def go(self, parts: Iterator[Part | None], sink: _Sink) -> None:
        """Score parts and give them on.

        Raises:
            BulkError: rows that cannot be scored, unless they are to be passed over.
        """
        waiting: deque[tuple[Part, Future[Scored]]] = deque()
        with ThreadPoolExecutor(self._scorer.threads, "score") as pool:
            try:
                for part in parts:
                    if part is None:  # what there is goes on before one waits for more
                        while waiting:
                            self._finish(*waiting.popleft(), sink)
                        continue
                    waiting.append((part, pool.submit(self._scorer.score, part.shown, part.piece)))
                    if len(waiting) > self._scorer.threads + 1:
                        self._finish(*waiting.popleft(), sink)
                while waiting:
                    self._finish(*waiting.popleft(), sink)
                if self._early:
                    raise BulkError(str(self._early[0]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _finish(self, part: Part, future: Future[Scored], sink: _Sink) -> None:
        """Give on what a part came to."""
        scored, piece = future.result(), part.piece
        skipped = sorted([*piece.skipped, *scored.skipped], key=lambda each: each.row or 0)
        if skipped and not self._job.skips:
            raise BulkError(str(skipped[0]))
        for note in self._inputs.notes[self._noted :]:
            self._progress.say(note)
        self._noted = len(self._inputs.notes)
        self.skipped += sum(max(1, each.rows) for each in skipped)
        schema = self.schema()
        if schema is None:
            self._early += skipped
            return
        skipped, self._early = [*self._early, *skipped], []
        self.rows += int(scored.sound.sum())
        sink.add(self._table(part, scored, schema), skipped, part)
        self._progress.at(part.file, piece.share, self.rows, self.skipped)

    def _table(self, part: Part, scored: Scored, schema: Any) -> Any:
        """The rows of the output."""
        piece, sound = part.piece, scored.sound
        if not len(piece.numbers):
            return schema.empty_table()
        numbers, kept = piece.numbers, piece.kept
        if not sound.all():
            numbers = numbers[sound]
            kept = kept.filter(pa.array(sound)) if kept.num_columns else kept
        columns = [pa.array(numbers), *kept.columns]
        if self._has_file:
            columns.insert(0, pa.repeat(part.shown, len(numbers)))
        columns += [
            pa.array(scored.arrays[field.name], field.type) for field in self._scorer.schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)


class _ToJournal:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, table: Any, skipped: list[Skipped], part: Part) -> None:
        self._journal.add(table, skipped, part.file, part.piece.after)


class _ToPipe:
    """Writes rows as they come, and says what is skipped."""

    def __init__(self, file_format: str, report: str | None) -> None:
        self._format = file_format
        self._writer: Writer | None = None
        self._report = None if report is None else Path(report).open("w", encoding="utf-8")  # noqa: SIM115

    def add(self, table: Any, skipped: list[Skipped], part: Part) -> None:
        if self._writer is None:
            self._writer = open_writer(self._format, sys.stdout.buffer, table.schema)
        if table.num_rows:
            self._writer.write(table)
        sys.stdout.buffer.flush()
        for each in skipped:
            if self._report is not None:
                self._report.write(json.dumps(each.to_json()) + "\n")
            else:
                print(f"bijecta: skipped {each}", file=sys.stderr)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            sys.stdout.buffer.flush()
        if self._report is not None:
            self._report.close()


def _to_pipe(job: Job, scorer: Scorer, inputs: Inputs, out_format: str) -> Outcome:
    sink = _ToPipe(out_format, job.report)
    one = _Run(job, scorer, inputs)
    one.go(inputs.parts(0, {}), sink)
    sink.close()
    return Outcome(one.rows, one.skipped)


def _to_file(job: Job, scorer: Scorer, inputs: Inputs, out_format: str) -> Outcome:
    out = Path(job.out)
    report = Path(job.report or f"{out}.skipped.ndjson")
    if not out.parent.is_dir():
        raise BulkError(f"{out.parent}: there is no such folder")
    if out.exists() and not job.overwrite:
        raise BulkError(f"{out} exists: --overwrite replaces it")
    journal = Journal(
        out.with_name(f"{out.name}.unfinished"),
        _identity(job, scorer, inputs.files, out_format),
        # what came by a pipe does not come again
        job.restart or PIPE in inputs.files,
    )
    try:
        if journal.schema is not None:
            own = len(scorer.schema.names), 1 + (len(inputs.files) > 1)
            fields = list(journal.schema)[own[1] : len(journal.schema) - own[0]]
            inputs.kept = pa.schema(fields)
        one = _Run(job, scorer, inputs, journal.rows)
        if not job.skips and (first := next(journal.skipped(), None)) is not None:
            raise BulkError(str(first))
        one.go(inputs.parts(journal.file, journal.place), _ToJournal(journal))
        partial = journal.folder / "out.partial"
        schema = journal.schema if journal.schema is not None else one.schema()
        write_file(partial, out_format, schema, journal.tables())
        skipped = list_skipped(report, journal.skipped())
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(out)
        journal.remove()
        return Outcome(one.rows, skipped)
    finally:
        journal.close()


def list_skipped(report: Path, skipped: Iterator[Skipped]) -> int:
    """Write the report, a JSON object a line; none where nothing was skipped.

    Returns:
        How many rows were, where they could be counted.
    """
    first = next(skipped, None)
    if first is None:
        report.unlink(missing_ok=True)
        return 0
    count = 0

    def write(file: Any) -> None:
        nonlocal count
        for each in (first, *skipped):
            file.write(json.dumps(each.to_json()).encode() + b"\n")
            count += max(1, each.rows)

    write_whole(report, write)
    return count


def _identity(job: Job, scorer: Scorer, files: Sequence[str], out_format: str) -> dict[str, Any]:
    """What makes two runs come to the same bytes."""
    return {
        "layout": LAYOUT,
        "inputs": [_mark(name) for name in files],
        "format": job.format,
        "out_format": out_format,
        "keep": list(job.keep),
        **scorer.identity,
        "versions": {
            "numpy": np.__version__,
            "onnxruntime": onnxruntime.__version__,
            "pyarrow": pa.__version__,
        },
    }


def _mark(name: str) -> list[Any]:
    """What tells a file from another one in its place."""
    try:
        status = Path(name).stat()
    except OSError:
        return [name]
    return [str(Path(name).absolute()), status.st_size, status.st_mtime_ns]


def _size(name: str) -> int:
    try:
        return Path(name).stat().st_size
    except OSError:
        return 0
