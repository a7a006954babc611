"""What gives scores to rows: the contract between files and a bundle or a server."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.bulk.pieces import Piece, Skipped
from service.bundle import AnyManifest
from service.operations import RowFaults
from service.types import Arrays


@dataclass(frozen=True)
class Decision:
    """By what rows of a detector are called anomalies.

    Args:
        alpha: largest p-value of an anomaly.
        fdr: in its place the rate of false discoveries among all rows.
        seed: draws p-values of ties; None for those that are never too small.
    """

    alpha: float | None = None
    fdr: float | None = None
    seed: int | None = None


@dataclass
class Scored:
    """What a piece came to.

    Args:
        arrays: by name, of the rows that have an answer.
        sound: of all rows of the piece, whether they have one.
        skipped: those that have none.
    """

    arrays: Arrays
    sound: NDArray[np.bool_]
    skipped: list[Skipped]


class Scorer(Protocol):
    """Gives scores to rows, in any thread.

    Attributes:
        manifest: of the model.
        schema: a `pyarrow.Schema` of what a row gets.
        threads: pieces that it works on at a time.
        fdr: where anomalies are decided on when all rows have their p-value, at which rate.
        identity: what tells its scores from those of another, for a run to be resumed.
    """

    manifest: AnyManifest
    schema: Any
    threads: int
    fdr: float | None
    identity: dict[str, Any]

    def score(self, number: int, shown: str, piece: Piece) -> Scored:
        """The scores of a piece.

        Args:
            number: of its file among the inputs.
            shown: the name of its file.
            piece: with one row at least.

        Raises:
            BulkError: there are none, whatever the rows are.
        """
        ...


def finished(shown: str, piece: Piece, faults: RowFaults, arrays: Arrays) -> Scored:
    """The answer of a piece, without the rows that have none.

    Args:
        shown: the name of its file.
        piece: which was scored.
        faults: of its rows.
        arrays: of the rows that are kept, of which some may have turned out to have no answer.
    """
    places = np.arange(len(piece.numbers))
    sound = faults.are_sound(places)
    if sound is None:
        return Scored(arrays, np.ones(len(places), bool), [])
    answered = sound[faults.kept(places)]
    skipped = []
    for error in faults.errors:
        row = int(piece.numbers[error.row])
        line = None if piece.lines is None else int(piece.lines[error.row])
        # rows of requests are counted from the first of the request
        detail = error.detail.removeprefix(f"row {error.row}, column {error.column!r}: ")
        detail = detail.replace(f"row {error.row}", f"row {row}", 1)
        column = error.column if isinstance(error.column, str | int) else None
        skipped.append(Skipped(shown, detail, row, 1, line, column))
    return Scored({name: values[answered] for name, values in arrays.items()}, sound, skipped)
