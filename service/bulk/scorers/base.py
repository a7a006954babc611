"""What gives scores to rows: the contract between files and a bundle or a server."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from service.bulk.pieces import BulkError, Piece, Skipped, json_field
from service.bulk.scorers.rows import ModelRows
from service.bundle import AnyManifest
from service.operations import ALPHA
from service.tables import Unfamiliar
from service.types import Arrays, Float64


@dataclass(frozen=True)
class Decision:
    """By what rows of a detector are called anomalies.

    Args:
        alpha: largest p-value of an anomaly.
        fdr: in its place the rate of false discoveries among all rows.
        seed: draws p-values of ties; None for those that are never too small.
        reasons: columns that are named of each row that may be an anomaly; None for none.
    """

    alpha: float | None = None
    fdr: float | None = None
    seed: int | None = None
    reasons: int | None = None

    @property
    def limit(self) -> float:
        """The largest p-value of an anomaly; at a rate of false discoveries it is no larger."""
        if self.fdr is not None:
            return self.fdr
        return ALPHA if self.alpha is None else self.alpha

    def schema(self) -> Any:
        """What a row of a detector gets, a `pyarrow.Schema`.

        Raises:
            BulkError: two decisions are asked for.
        """
        if self.alpha is not None and self.fdr is not None:
            raise BulkError(
                "expected one of --alpha and --fdr: alpha bounds the share of normal rows that "
                "raise an alarm, fdr the share of normal rows among the alarms"
            )
        number = pa.float64()
        anomaly = [pa.field("anomaly", pa.bool_())] if self.fdr is None else []
        reasons = [json_field("reasons")] if self.reasons is not None else []
        scores = [pa.field("score", number), pa.field("p_value", number)]
        return pa.schema([*scores, *anomaly, pa.field("log_prob", number), *reasons])

    def arrays(self, score: Float64, p_value: Float64, log_prob: Float64) -> Arrays:
        """These, and the decision, where it is not one on all rows."""
        arrays: Arrays = {"score": score, "p_value": p_value, "log_prob": log_prob}
        return arrays if self.fdr is not None else arrays | {"anomaly": p_value <= self.limit}


@dataclass
class Scored:
    """What a piece came to.

    Args:
        arrays: by name, of the rows that have an answer.
        sound: of all rows of the piece, whether they have one.
        skipped: those that have none.
        unfamiliar: what its rows hold that the data had not.
    """

    arrays: Arrays
    sound: NDArray[np.bool_]
    skipped: list[Skipped]
    unfamiliar: Sequence[Unfamiliar] = ()


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

    def close(self) -> None:
        """End what it runs; it gives no scores any more."""
        ...


def no_detector(manifest: AnyManifest, decision: Decision) -> Any:
    """What a row of a flow or a table gets, a `pyarrow.Schema`.

    Raises:
        BulkError: a decision is asked for.
    """
    if decision != Decision():
        raise BulkError(
            f"{manifest.name} version {manifest.version} is no detector: --alpha, --fdr, --seed "
            "and --reasons have no use"
        )
    return pa.schema([("log_prob", pa.from_numpy_dtype(np.dtype(manifest.dtype)))])


def reasons_column(places: NDArray[np.intp], reasons: Iterable[Any], rows: int) -> NDArray[Any]:
    """The reasons of some rows as JSON, None of the others."""
    column: NDArray[Any] = np.full(rows, None, object)
    for place, each in zip(places.tolist(), reasons, strict=True):
        column[place] = None if each is None else orjson.dumps(each).decode()
    return column


def finished(shown: str, piece: Piece, rows: ModelRows, arrays: Arrays) -> Scored:
    """The answer of a piece, without the rows that have none.

    Args:
        shown: the name of its file.
        piece: which was scored.
        rows: of it.
        arrays: of the rows that are kept, of which some may have turned out to have no answer.
    """
    places, faults = np.arange(len(piece.numbers)), rows.faults
    sound = faults.are_sound(places)
    if sound is None:
        return Scored(arrays, np.ones(len(places), bool), [], rows.unfamiliar)
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
    arrays = {name: values[answered] for name, values in arrays.items()}
    return Scored(arrays, sound, skipped, rows.unfamiliar)
