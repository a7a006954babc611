"""What a detector is fitted to: the rows of a table, or arrays of one shape."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.bundle import ContextColumn
from training.config import ContextSpec, FileSource, TableColumns
from training.data import Context, whole_table
from training.detectors import (
    ArrayDetector,
    Configuration,
    ContextRows,
    Detector,
    FittedDetector,
    fit_array_detector,
    fit_detector,
)
from training.inspection import LabelledArrays, LabelledTable
from training.preprocessing import context_fields

AnyDetector = TypeVar("AnyDetector", Detector, ArrayDetector)
Float64 = NDArray[np.float64]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Task(Generic[AnyDetector]):
    """Rows, and how a detector is fitted to those that train.

    Args:
        data_name, data_sha256: of the file.
        source: how it is read.
        trains: indices of the rows that train, ascending.
        rows: these, as a detector takes them.
        context: what they are conditioned on, or None.
        columns: what was decided of the columns of a table; None for arrays.
        context_columns: what rows are conditioned on.
        anomalous: of all rows, whether the label says so; None where there are no labels.
        impossible, unreadable: of all rows, which have a value that their column cannot have, and
            which one that is no value of it.
        fit: fits a detector to the rows that train.
        scores: of rows with these indices.
    """

    data_name: str
    data_sha256: str
    source: FileSource
    trains: NDArray[np.intp]
    rows: NDArray[Any]
    context: ContextRows | None
    columns: TableColumns | None
    context_columns: Sequence[ContextColumn]
    anomalous: NDArray[np.bool_] | None
    impossible: NDArray[np.bool_]
    unreadable: NDArray[np.bool_]
    fit: Callable[[Configuration, int, Progress], FittedDetector[AnyDetector]]
    scores: Callable[[AnyDetector, NDArray[np.intp]], Float64]


def table_task(labelled: LabelledTable) -> Task[Detector]:
    """The rows of a table.

    Raises:
        DataError: as of `whole_table`.
    """
    path = labelled.found.path
    decision, trains = labelled.found.decision, labelled.trains
    columns = TableColumns(modelled=list(decision.columns), left_out=list(decision.left_out))
    whole = whole_table(labelled.table, path, labelled.source, columns, trains)
    rows, context = whole.rows[trains], _context_rows(whole.context, trains)

    def fit(
        configuration: Configuration, seed: int, progress: Progress
    ) -> FittedDetector[Detector]:
        return fit_detector(rows, columns.modelled, context, configuration, seed, progress)

    def scores(detector: Detector, indices: NDArray[np.intp]) -> Float64:
        return detector.scores(whole.rows[indices], whole.context.of(indices))

    return Task(
        data_name=path.name,
        data_sha256=whole.sha256,
        source=labelled.source,
        trains=trains,
        rows=rows,
        context=context,
        columns=columns,
        context_columns=whole.context.columns,
        anomalous=labelled.anomalous,
        impossible=whole.impossible,
        unreadable=whole.unreadable,
        fit=fit,
        scores=scores,
    )


def array_task(labelled: LabelledArrays) -> Task[ArrayDetector]:
    """Arrays of one shape."""
    arrays, trains = labelled.arrays, labelled.trains
    rows, nothing = arrays.rows[trains], np.zeros(len(arrays.rows), bool)

    def fit(
        configuration: Configuration, seed: int, progress: Progress
    ) -> FittedDetector[ArrayDetector]:
        return fit_array_detector(rows, configuration, seed, progress)

    def scores(detector: ArrayDetector, indices: NDArray[np.intp]) -> Float64:
        return detector.scores(arrays.rows[indices])

    return Task(
        data_name=labelled.path.name,
        data_sha256=arrays.sha256,
        source=labelled.source,
        trains=trains,
        rows=rows,
        context=None,
        columns=None,
        context_columns=(),
        anomalous=arrays.anomalous,
        impossible=nothing,
        unreadable=nothing,
        fit=fit,
        scores=scores,
    )


def _context_rows(context: Context, rows: NDArray[np.intp]) -> ContextRows | None:
    """The context of some rows; None where there is none."""
    values = context.of(rows)
    if values is None:
        return None
    fields = context_fields(context.columns)
    return ContextRows(values, ContextSpec.model_validate({"columns": fields}))
