"""Tables of which some rows may be known to be anomalies; without torch."""

from argparse import Namespace
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.tables import Overrides, RawTable, TableError, anomalies_of
from training.config import TypedSource
from training.data import read_raw
from training.errors import DataError
from training.inspection.command import overrides_of, source_of
from training.inspection.report import Inspection, inspect_raw


@dataclass(frozen=True)
class LabelledTable:
    """A table, and which of its rows train a detector.

    Args:
        found: in the rows that train, and what is decided of their columns.
        source: how the table is read, and which columns condition rows.
        table: all rows, without the column of labels.
        trains: indices of the rows that train, ascending.
        anomalous: of each row, whether its label says so; None where there are no labels.
    """

    found: Inspection
    source: TypedSource
    table: RawTable
    trains: NDArray[np.intp]
    anomalous: NDArray[np.bool_] | None


def look_at_labelled_table(arguments: Namespace) -> LabelledTable:
    """Read the table of a command and decide on its columns by the rows that train.

    Rows that are labelled as anomalies do not train, unless the training rows may hold some.

    Raises:
        DataError: it cannot be read, the options name no column of it, or no kind, or a label says
            neither that its row is normal nor that it is an anomaly.
    """
    source, overrides = source_of(arguments), overrides_of(arguments)
    assert isinstance(source, TypedSource)
    path, table = arguments.table, read_raw(arguments.table, source, overrides.drop)
    conditions = [*arguments.context, *([arguments.within] if arguments.within else [])]
    for name in [*conditions, *([arguments.labels] if arguments.labels else [])]:
        if name not in table.columns:
            raise DataError(
                f"{path} has no column {name!r}: the columns are {', '.join(table.columns)}"
            )
    source = source.model_copy(update={"context": arguments.context, "labels": arguments.within})
    anomalous = None
    trains = np.arange(table.rows)
    if arguments.labels is not None:
        try:
            anomalous = anomalies_of(table.columns[arguments.labels], arguments.labels, table.place)
        except TableError as error:
            raise DataError(f"{path}: {error}") from None
        table = table.without([arguments.labels])
        if not arguments.contaminated:
            trains = np.flatnonzero(~anomalous)
    trained = table.without(conditions).taken(trains)
    found = inspect_raw(trained, path, overrides)
    known = found.decision.understood.keys() | {c.name for c in found.decision.left_out}
    if faulty := [column.name for column in found.columns if column.name not in known]:
        drop = [*overrides.drop, *faulty]
        found = inspect_raw(trained, path, Overrides(overrides.keep, drop, overrides.kinds))
    return LabelledTable(found, source, table, trains, anomalous)
