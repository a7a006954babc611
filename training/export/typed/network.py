"""What the graphs of typed columns need of the ONNX nodes of their network."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from training.export.onnx_builder import Writer


class ColumnNetworkWriter(ABC):
    """Writes a `models.columns.ColumnNetwork`, all columns at once or one after another.

    Strings are names of values, in the number type of the network. Features and parameters of all
    columns are in the order of their groups; of a column they are filled up to the largest number.
    What is carried from column to column are states, each of the shape N × one of `shapes`.
    """

    shapes: Sequence[Sequence[int]]

    @abstractmethod
    def parameters(self, features: str, context: str | None) -> str:
        """Write all columns at once: N × inputs, and the features of a context → N × sizes."""

    @abstractmethod
    def first_states(self, rows: str, context: str | None) -> list[str]:
        """Write the states before the first column, of a batch like these rows, N × anything."""

    @abstractmethod
    def rows(self) -> list[NDArray[Any]]:
        """What each column reads, in the order of decoding: D × … each."""

    @abstractmethod
    def before_value(
        self, body: Writer, states: Sequence[str], rows: Sequence[str]
    ) -> tuple[str, list[str]]:
        """Write a column's parameters, N × largest size; and the states with what they are from.

        Args:
            body: the writer of a column.
            states: as the column before has left them.
            rows: those of the column.
        """

    @abstractmethod
    def after_value(
        self, body: Writer, states: Sequence[str], rows: Sequence[str], features: str
    ) -> list[str]:
        """Write the states with the features of the column, N × largest number."""
