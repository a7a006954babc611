"""Arrays of one shape that a detector is fitted to; without torch."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.config import FileSource, kind_of
from training.data import WholeArrays, whole_arrays
from training.errors import DataError
from training.inspection.command import file_source_of
from training.inspection.labelled import LabelledTable, look_at_labelled_table

# Options that say something of columns.
OF_COLUMNS = ("header", "keep", "kind", "context", "within")


@dataclass(frozen=True)
class LabelledArrays:
    """Arrays, and which of them train a detector.

    Args:
        path: of the file or folder.
        source: how it is read.
        arrays: all rows.
        trains: indices of the rows that train, ascending.
    """

    path: Path
    source: FileSource
    arrays: WholeArrays
    trains: NDArray[np.intp]


def look_at_detector_data(arguments: Namespace) -> LabelledTable | LabelledArrays:
    """Read what a detector is fitted to: a table, or arrays of one shape.

    They are arrays where the file holds images, sounds or arrays of several axes, or where
    `--shape` says so.

    Raises:
        DataError: as of `look_at_labelled_table` and `whole_arrays`, or an option is not of
            arrays.
    """
    path: Path = arguments.table
    if arguments.window is None and kind_of({"source": str(path)}) == "sounds":
        raise DataError(f"{path} holds sounds: --window SAMPLES says the length of a row")
    source = file_source_of(arguments, shape=arguments.shape, window=arguments.window)
    update = {"labels": arguments.labels, "drop": arguments.drop}
    arrays = whole_arrays(path, source.model_copy(update=update))
    if arrays is None:
        return look_at_labelled_table(arguments)
    for option in OF_COLUMNS:
        if getattr(arguments, option):
            raise DataError(
                f"--{option} is of tables, whose columns have names: {path} holds arrays of one "
                "shape"
            )
    trains = np.arange(len(arrays.rows))
    if arrays.anomalous is not None and not arguments.contaminated:
        trains = np.flatnonzero(~arrays.anomalous)
    return LabelledArrays(path, source.model_copy(update=update), arrays, trains)
