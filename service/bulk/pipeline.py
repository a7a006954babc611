"""A run: files to scored rows, in constant memory, in their order, and to the same file if killed.

Scored pieces are kept in a folder beside the output (`journal`), and written as one file at the
end. To standard output they go as they come.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa

from service.bulk.inputs import Inputs, expanded
from service.bulk.journal import Journal, write_whole
from service.bulk.ordered import (
    FILE,
    ROW,
    Done,
    Engine,
    OrderedRun,
    in_threads,
    output_schema,
)
from service.bulk.output import Writer, open_writer, write_tables
from service.bulk.pieces import BulkError, Place, Skipped
from service.bulk.progress import Progress
from service.bulk.scorers import Scorer
from service.bulk.sources import FORMATS, PIPE, format_of
from service.bulk.unfamiliar import count, said
from service.conformal import discovery_limit
from service.errors import few

LAYOUT = 2
"""Of pieces and files: with another one a run begins anew."""

ANOMALY = "anomaly"


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
    """What a run came to.

    Args:
        rows: with a score.
        skipped: rows, or files, without.
        notes: what the rows hold that the data had not, a line each.
    """

    rows: int
    skipped: int
    notes: list[str]


def run(job: Job, scorer: Scorer, engine: Engine = in_threads) -> Outcome:
    """Score files.

    Args:
        job: what is to be done.
        scorer: gives the scores.
        engine: where it does.

    Raises:
        BulkError: the run ended early; names file, row and column where one is to blame.
        OSError: the output cannot be written.
    """
    files = expanded(job.inputs)
    if len(set(job.keep)) < len(job.keep):
        raise BulkError("--keep names a column twice")
    own = [FILE] * (len(files) > 1) + [ROW, *scorer.schema.names]
    own += [ANOMALY] * (scorer.fdr is not None)
    if twice := [name for name in job.keep if name in own]:
        raise BulkError(f"--keep {few(twice)}: the output has a column of that name: rename it")
    inputs = Inputs(files, job.format, scorer.manifest, job.keep)
    if job.out != PIPE:
        out_format = format_of(job.out, job.out_format, "--out-format", FORMATS)
        return _to_file(job, scorer, engine, inputs, out_format)
    out_format = job.out_format or format_of(files[0], job.format, "--out-format", FORMATS)
    if scorer.fdr is None:
        return _to_pipe(job, scorer, engine, inputs, out_format)
    with tempfile.TemporaryDirectory() as folder:  # what is decided on all rows waits for all
        journal = Journal(Path(folder) / "rows", {}, restart=True)
        one = _scored(job, scorer, engine, inputs, journal)
        write_tables(sys.stdout.buffer, out_format, *_decided(journal, scorer, inputs))
        _report(job, journal)
        journal.close()
    return _outcome(one, scorer)


def _to_file(job: Job, scorer: Scorer, engine: Engine, inputs: Inputs, out_format: str) -> Outcome:
    out = Path(job.out)
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
        one = _scored(job, scorer, engine, inputs, journal)
        partial = journal.folder / "out.partial"
        with partial.open("wb") as sink:
            write_tables(sink, out_format, *_decided(journal, scorer, inputs))
            sink.flush()
            os.fsync(sink.fileno())
        _report(job, journal)
        partial.replace(out)
        journal.remove()
        return _outcome(one, scorer)
    finally:
        journal.close()


def _scored(
    job: Job, scorer: Scorer, engine: Engine, inputs: Inputs, journal: Journal
) -> OrderedRun:
    """Score what is not in a journal yet, and keep it there."""
    if journal.schema is not None:
        before, behind = 1 + (len(inputs.files) > 1), len(scorer.schema.names)
        inputs.kept = pa.schema(list(journal.schema)[before : len(journal.schema) - behind])
    if not job.skips and (first := next(journal.skipped(), None)) is not None:
        raise BulkError(str(first))
    skipped = sum(max(1, each.rows) for each in journal.skipped())
    progress = _progress(job, inputs, journal.rows)
    one = OrderedRun(inputs, progress, job.skips, journal.rows, skipped)
    count(one.found, journal.found())

    def keep(part: Done) -> None:
        file, place = (part.number + 1, Place()) if part.is_last else (part.number, part.after)
        journal.add(part.table, part.skipped, part.found, file, place)

    one.go(engine(inputs, scorer, journal.file, journal.place), keep)
    return one


def _decided(journal: Journal, scorer: Scorer, inputs: Inputs) -> tuple[Any, Iterator[Any]]:
    """The schema and the rows of the output, with what is decided on all of them."""
    schema = journal.schema if journal.schema is not None else output_schema(inputs, scorer)
    if scorer.fdr is None:
        return schema, journal.tables()
    limit = discovery_limit(lambda: journal.column("p_value"), scorer.fdr)
    place, field = schema.get_field_index("p_value") + 1, pa.field(ANOMALY, pa.bool_())

    def tables() -> Iterator[Any]:
        for table in journal.tables():
            anomaly = pa.array(table["p_value"].to_numpy() <= limit)
            yield table.add_column(place, field, anomaly)

    return schema.insert(place, field), tables()


def _to_pipe(job: Job, scorer: Scorer, engine: Engine, inputs: Inputs, out_format: str) -> Outcome:
    one = OrderedRun(inputs, _progress(job, inputs, 0), job.skips)
    sink = sys.stdout.buffer
    writer: Writer | None = None

    def write(part: Done) -> None:
        nonlocal writer
        if writer is None:
            writer = open_writer(out_format, sink, part.table.schema)
        if part.table.num_rows:
            writer.write(part.table)
        sink.flush()
        _list(job, part.skipped)

    if job.report is not None:
        Path(job.report).write_bytes(b"")
    one.go(engine(inputs, scorer, 0, {}), write)
    if writer is None:
        writer = open_writer(out_format, sink, output_schema(inputs, scorer))
    writer.close()
    sink.flush()
    return _outcome(one, scorer)


def _outcome(one: OrderedRun, scorer: Scorer) -> Outcome:
    return Outcome(one.rows, one.skipped, said(one.found, scorer.manifest))


def _list(job: Job, skipped: Sequence[Skipped]) -> None:
    """Add rows to the report, or say them where there is none."""
    if job.report is None:
        for each in skipped:
            print(f"bijecta: skipped {each}", file=sys.stderr)
    elif skipped:
        with Path(job.report).open("ab") as file:
            file.write(b"".join(map(_line, skipped)))


def _line(skipped: Skipped) -> bytes:
    return json.dumps(skipped.to_json()).encode() + b"\n"


def _report(job: Job, journal: Journal) -> None:
    """Write the report, a JSON object a line; none where nothing was skipped."""
    if job.out == PIPE and job.report is None:
        _list(job, list(journal.skipped()))
        return
    report = Path(job.report or f"{job.out}.skipped.ndjson")
    if next(journal.skipped(), None) is None:
        report.unlink(missing_ok=True)
    else:
        write_whole(report, lambda file: file.writelines(map(_line, journal.skipped())))


def _progress(job: Job, inputs: Inputs, rows: int) -> Progress:
    return Progress([_size(name) for name in inputs.files], rows, job.is_quiet)


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
        return 0 if name == PIPE else Path(name).stat().st_size
    except OSError:
        return 0
