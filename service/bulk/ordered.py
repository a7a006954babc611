"""Pieces of files, scored several at a time, given on in their order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from service.bulk.inputs import Inputs, Part
from service.bulk.pieces import BulkError, Place, Skipped
from service.bulk.progress import Progress
from service.bulk.scorers import Scored, Scorer
from service.bulk.unfamiliar import Counts, Found, count, found_in

FILE, ROW = "file", "row"
"""Columns of every output: the name of the input where there are several, and the row in it."""


class Done(NamedTuple):
    """What a part came to.

    Args:
        table: its rows in the output, a `pyarrow.Table`; None where no file could be opened yet.
        skipped: its rows without a score.
        number: of its file among the inputs.
        after: where reading goes on in the file.
        is_last: whether nothing more can be read of it.
        share: of it that is done.
        found: what its rows hold that the data had not.
    """

    table: Any
    skipped: list[Skipped]
    number: int
    after: Place
    is_last: bool
    share: float
    found: list[Found]


Engine = Callable[[Inputs, Scorer, int, Place], Iterator[Done]]
"""What scores inputs from a place of a file on, and gives what comes of it in order."""


def output_schema(inputs: Inputs, scorer: Scorer) -> Any:
    """The `pyarrow.Schema` of the output; None before a file could be opened."""
    if inputs.kept is None:
        return None
    fields = [pa.field(FILE, pa.string())] * (len(inputs.files) > 1) + [pa.field(ROW, pa.int64())]
    return pa.schema([*fields, *inputs.kept, *scorer.schema])


def done(part: Part, scorer: Scorer, schema: Any) -> Done:
    """Score a part, and make rows of the output of it."""
    piece, table = part.piece, None
    scored = Scored({}, np.zeros(0, bool), [])
    if len(piece.numbers):
        scored = scorer.score(part.number, part.shown, piece)
        table = _table(part, scored, schema)
    elif schema is not None:
        table = schema.empty_table()
    skipped = sorted([*piece.skipped, *scored.skipped], key=lambda each: each.row or 0)
    found = found_in(scored.unfamiliar)
    return Done(table, skipped, part.number, piece.after, part.is_last, piece.share, found)


def _table(part: Part, scored: Scored, schema: Any) -> Any:
    numbers, kept, sound = part.piece.numbers, part.piece.kept, scored.sound
    if not sound.all():
        numbers = numbers[sound]
        kept = kept.filter(pa.array(sound)) if kept.num_columns else kept
    values = dict(zip(kept.column_names, kept.columns, strict=True))
    values |= {FILE: pa.repeat(part.shown, len(numbers)), ROW: pa.array(numbers)}
    values |= {name: pa.array(array) for name, array in scored.arrays.items()}
    return pa.Table.from_arrays([values[name] for name in schema.names], schema=schema)


def in_threads(inputs: Inputs, scorer: Scorer, file: int, place: Place) -> Iterator[Done]:
    """The engine of this machine: as many pieces at a time as the scorer works on."""
    waiting: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(scorer.threads, "score") as pool:
        try:
            for part in inputs.parts(file, place):
                if part is not None:
                    waiting.append(pool.submit(done, part, scorer, output_schema(inputs, scorer)))
                # where a pipe has no more rows yet, what there is goes on before one waits
                while len(waiting) > (0 if part is None else scorer.threads + 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class OrderedRun:
    """Counts what is done, and ends where rows cannot be scored, unless they are passed over.

    Args:
        inputs: the files.
        progress: is told of every piece.
        skips: whether rows that cannot be scored are passed over; else they end the run.
        rows, skipped: that are done already.

    Attributes:
        found: what all rows hold that the data had not.
    """

    def __init__(
        self, inputs: Inputs, progress: Progress, skips: bool, rows: int = 0, skipped: int = 0
    ) -> None:
        self.found: Counts = {}
        self._inputs = inputs
        self._skips = skips
        self.rows, self.skipped = rows, skipped
        self._progress = progress
        self._noted = 0

    def go(self, results: Iterator[Done], sink: Callable[[Done], None]) -> None:
        """Give on what an engine gives, none of it without a table.

        Raises:
            BulkError: rows that cannot be scored, or no file that can be opened.
        """
        early: list[Skipped] = []
        for one in results:
            if one.skipped and not self._skips:
                raise BulkError(str(one.skipped[0]))
            for note in self._inputs.notes[self._noted :]:
                self._progress.say(note)
            self._noted = len(self._inputs.notes)
            self.skipped += sum(max(1, each.rows) for each in one.skipped)
            if one.table is None:
                early += one.skipped
                continue
            self.rows += one.table.num_rows
            count(self.found, one.found)
            sink(one._replace(skipped=[*early, *one.skipped]))
            early = []
            self._progress.at(one.number, one.share, self.rows, self.skipped)
        if early:
            raise BulkError(str(early[0]))
