"""Pieces of files, scored several at a time, given on in their order."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from service.bulk.inputs import Inputs, Part
from service.bulk.pieces import BulkError, Skipped
from service.bulk.progress import Progress
from service.bulk.scorers import Scored, Scorer

FILE, ROW = "file", "row"
"""Columns of every output: the name of the input where there are several, and the row in it."""


Sink = Callable[[Any, list[Skipped], Part], None]
"""Takes the rows of a part, a `pyarrow.Table`, and those that were skipped."""


class OrderedRun:
    """Rows of inputs, scored several pieces at a time, given on in their order.

    Args:
        scorer: gives the scores.
        inputs: the files.
        progress: is told of every piece.
        skips: whether rows that cannot be scored are passed over; else they end the run.
        rows: that are done already.
    """

    def __init__(
        self, scorer: Scorer, inputs: Inputs, progress: Progress, skips: bool, rows: int = 0
    ) -> None:
        self._scorer = scorer
        self._inputs = inputs
        self._skips = skips
        self._has_file = len(inputs.files) > 1
        self.rows, self.skipped = rows, 0
        self._progress = progress
        self._noted = 0
        self._early: list[Skipped] = []  # of files before the first that could be opened

    def schema(self) -> Any:
        """Of the output; None before a file could be opened."""
        if self._inputs.kept is None:
            return None
        fields = [pa.field(FILE, pa.string())] * self._has_file + [pa.field(ROW, pa.int64())]
        return pa.schema([*fields, *self._inputs.kept, *self._scorer.schema])

    def go(self, parts: Iterator[Part | None], sink: Sink) -> None:
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
                    waiting.append((part, pool.submit(self._score, part)))
                    if len(waiting) > self._scorer.threads + 1:
                        self._finish(*waiting.popleft(), sink)
                while waiting:
                    self._finish(*waiting.popleft(), sink)
                if self._early:
                    raise BulkError(str(self._early[0]))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _score(self, part: Part) -> Scored:
        if not len(part.piece.numbers):
            return Scored({}, np.zeros(0, bool), [])
        return self._scorer.score(*part[:3])

    def _finish(self, part: Part, future: Future[Scored], sink: Sink) -> None:
        """Give on what a part came to."""
        scored, piece = future.result(), part.piece
        skipped = sorted([*piece.skipped, *scored.skipped], key=lambda each: each.row or 0)
        if skipped and not self._skips:
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
        sink(self._table(part, scored, schema), skipped, part)
        self._progress.at(part.number, piece.share, self.rows, self.skipped)

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
