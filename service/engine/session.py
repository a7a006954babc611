"""One ONNX graph on a device."""

from collections.abc import Sequence

import numpy as np
import onnxruntime

from service.runtime import CUDA, Cancellation, Device
from service.types import Arrays


class OnnxGraph:
    """A session that runs batches of any size.

    Args:
        content: of the ONNX file.
        row_bytes: memory of a run for each row, about; 0 where nothing is known.
        device: where to run.
        cancellation: ends the load.
        plans_memory: see `Device.session`.

    Raises:
        DeviceError: see `Device.session`.
    """

    def __init__(
        self,
        content: bytes,
        row_bytes: int,
        device: Device,
        cancellation: Cancellation,
        plans_memory: bool,
    ) -> None:
        self.row_bytes = row_bytes
        session = device.session(content, cancellation, plans_memory)
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
            raise RuntimeError("the session has been closed")
        rows = len(next(iter(feeds.values())))
        # a GPU keeps memory for every size that it has seen: let these be few
        padded = 1 << (rows - 1).bit_length() if self.provider == CUDA else rows
        if padded > rows:
            feeds = {name: _padded(values, padded) for name, values in feeds.items()}
        outputs = self._session.run(list(output_names), feeds, options)
        return {name: output[:rows] for name, output in zip(output_names, outputs, strict=True)}

    def close(self) -> None:
        """Give the session's memory back, whoever still refers to this graph."""
        self._session = None


def _padded(values: np.ndarray, rows: int) -> np.ndarray:
    """Values with their first row repeated at the end, which no graph can fail on."""
    return np.concatenate([values, np.repeat(values[:1], rows - len(values), axis=0)])
