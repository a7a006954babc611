"""Arrays of numpy, in pieces: a row is what stands at a place of the first axis."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from service.bulk.pieces import FileError
from service.bulk.sources.arrow import ArrowTables
from service.errors import cut

COLUMN = "x"
"""In which rows stand, as lists."""


class NpySource(ArrowTables):
    """A `.npy` file, of which no more is in memory than is read.

    Raises:
        FileError: it is none, or not one of rows of numbers.
    """

    block_name = "array"

    def __init__(self, shown: str, file: Path, rows: int) -> None:
        try:
            self._array = np.lib.format.open_memmap(file, mode="r")
        except (ValueError, EOFError) as error:
            raise FileError(f"{shown}: it is no .npy file: {cut(str(error), 200)}") from None
        kind, shape = self._array.dtype, self._array.shape
        self._width = prod(shape[1:])
        if kind.kind not in "fiub" or kind.itemsize > 8 or len(shape) < 2 or not self._width:
            raise FileError(
                f"{shown}: expected rows of numbers, N × the shape of a row; it is of shape "
                f"{list(shape)} and of {kind.name}"
            )
        # Arrow packs truth values in bits, and lists of half floats are read by few
        others: dict[str, Any] = {"bool": np.uint8, "float16": np.float32}
        self._dtype: np.dtype[Any] = np.dtype(others.get(kind.name, kind.newbyteorder("=")))
        values = pa.list_(pa.from_numpy_dtype(self._dtype), self._width)
        super().__init__(shown, rows, pa.schema([(COLUMN, values)]))

    @property
    def block_rows(self) -> Sequence[int | None]:
        """One block."""
        return [len(self._array)]

    def _batches(self, block: int, names: Sequence[str]) -> Iterator[Any]:
        for start in range(0, len(self._array), self._rows):
            part = np.ascontiguousarray(self._array[start : start + self._rows], self._dtype)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), self._width)
            yield pa.record_batch([lists], names=[COLUMN])

    def close(self) -> None:
        """Let go of the file."""
        del self._array
