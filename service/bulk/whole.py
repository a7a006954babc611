"""All rows of a file, with what a bundle says of each, in memory."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.bulk.inputs import Inputs
from service.bulk.pieces import BulkError
from service.bulk.scorers import BundleScorer
from service.types import Arrays, Floats


class WholeFile(NamedTuple):
    """What a bundle says of the rows of a file, N of them.

    Args:
        x: N × event shape; a value without a probability is replaced as a server does.
        outside: N, whether a row is outside the support of typed columns.
        context: N × C, of a conditional model.
        arrays: `log_prob`, N, and of detectors `score`, N.
        kept: the columns that were to be kept, a `pyarrow.Table`.
    """

    x: Floats
    outside: NDArray[np.bool_]
    context: Floats | None
    arrays: Arrays
    kept: Any


def score_whole(path: Path, scorer: BundleScorer, keep: tuple[str, ...] = ()) -> WholeFile:
    """Score all rows of a file.

    Args:
        path: of it, in a format that `bijecta score` reads.
        scorer: without a decision.
        keep: columns to read beside those of the model.

    Raises:
        BulkError: it cannot be read, has no rows or other columns, or a row has no answer.
    """
    inputs = Inputs([str(path)], None, scorer.manifest, list(keep))
    parts: list[WholeFile] = []
    for part in inputs.parts(0, {}):
        if part is None:
            continue
        if part.piece.skipped:
            raise BulkError(str(part.piece.skipped[0]))
        rows, arrays = scorer.raw(part.shown, part.piece)
        parts.append(WholeFile(rows.x, rows.outside, rows.context, arrays, part.piece.kept))
    if not sum(len(part.x) for part in parts):
        raise BulkError(f"{path}: there are no rows")
    contexts = [part.context for part in parts if part.context is not None]
    return WholeFile(
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.outside for part in parts]),
        np.concatenate(contexts) if contexts else None,
        {k: np.concatenate([part.arrays[k] for part in parts]) for k in parts[0].arrays},
        pa.concat_tables([part.kept for part in parts]) if keep else None,
    )
