"""Rows of data that a detector is to score."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.tables import LeftOutColumn
from training.errors import PlotError
from training.plots.bundle_rows import check_context, read_npy
from training.plots.subject import Array, Traits


class ScoredRows(NamedTuple):
    """Rows as a detector takes them.

    Args:
        values: N × event shape.
        context: what each is conditioned on, N × columns; None without.
        impossible: N, whether a row cannot occur, so that its score is infinite.
        said: what they are.
    """

    values: Array
    context: Array | None
    impossible: NDArray[np.bool_]
    said: str


def rows_to_score(traits: Traits, left_out: Sequence[LeftOutColumn], data: Path) -> ScoredRows:
    """All rows of a file.

    Args:
        traits: of the detector.
        left_out: columns of its data that it does not look at.
        data: the file, as `bijecta fit-detector` reads it.

    Raises:
        PlotError: the rows are not to be had here, or are none of this detector.
        TrainingError: the file cannot be read.
    """
    if data.suffix == ".npy" and traits.columns is None:
        values = read_npy(traits, data)
        return ScoredRows(values, None, np.zeros(len(values), bool), f"rows of {data.name}")
    try:
        from pydantic import ValidationError

        from training.config import FileSource, TableColumns, TypedSource, data_source
        from training.data import read_raw, whole_arrays, whole_table
    except ModuleNotFoundError as error:
        raise PlotError(
            f"reading {data} needs {error.name}: pip install 'bijecta[train]'"
        ) from None
    keys: dict[str, Any] = {"source": str(data)}
    if numbers := [column.name for column in traits.context if not column.classes]:
        keys["context"] = numbers
    if labels := [column.name for column in traits.context if column.classes]:
        keys["labels"] = labels[0]
    if traits.columns is None:
        keys["shape"] = list(traits.event_shape)
    if not data.exists():
        raise PlotError(f"no data file at {data}")
    try:
        source = data_source(**keys)
    except ValidationError as error:
        said = "; ".join(str(each["msg"]) for each in error.errors())
        raise PlotError(f"{data}: {said}") from None
    if traits.columns is None:
        assert isinstance(source, FileSource)
        arrays = whole_arrays(data, source)
        assert arrays is not None  # as it names their shape
        nothing = np.zeros(len(arrays.rows), bool)
        return ScoredRows(arrays.rows, None, nothing, f"rows of {data.name}")
    if not isinstance(source, TypedSource):
        raise PlotError(f"{data} is of kind {source.kind}: expected a table")
    columns = TableColumns(modelled=list(traits.columns), left_out=list(left_out))
    known = {column.name for column in (*traits.columns, *left_out, *traits.context)}
    table = read_raw(data, source)
    # others say nothing of a row, such as what is known of it by now
    table = table.without([name for name in table.columns if name not in known])
    whole = whole_table(table, data, source, columns, np.arange(table.rows))
    check_context(traits, whole.context.columns, data)
    readable = np.flatnonzero(~whole.unreadable)
    if not len(readable):
        raise PlotError(f"no row of {data} has values of the kinds of {traits.name}'s columns")
    said = f"rows of {data.name}"
    if unreadable := int(whole.unreadable.sum()):
        said += f", but for {unreadable} with values of other kinds"
    return ScoredRows(
        whole.rows[readable], whole.context.of(readable), whole.impossible[readable], said
    )
