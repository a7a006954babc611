"""One ONNX graph on a CPU."""

from collections.abc import Sequence

import onnxruntime

from service.types import Arrays


class OnnxGraph:
    """A session that runs batches of any size.

    Args:
        session: of the graph.
        row_bytes: memory of a run for each row, about; 0 where nothing is known.
    """

    def __init__(self, session: onnxruntime.InferenceSession, row_bytes: int) -> None:
        self.row_bytes = row_bytes
        self.provider: str = session.get_providers()[0]
        self._session: onnxruntime.InferenceSession | None = session

    def __call__(
        self,
        feeds: Arrays,
        output_names: Sequence[str],
        options: onnxruntime.RunOptions | None = None,
    ) -> Arrays:
        """Inputs by name → the outputs of these names, row for row."""
        if self._session is None:
            raise RuntimeError(CLOSED)
        outputs = self._session.run(list(output_names), feeds, options)
        return dict(zip(output_names, outputs, strict=True))

    def close(self) -> None:
        """Give the session's memory back, whoever still refers to this graph."""
        self._session = None


CLOSED = "the session has been closed"
