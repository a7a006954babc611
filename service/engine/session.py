"""One ONNX graph on a device."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from service.runtime import CUDA, Device
from service.types import Arrays


class OnnxGraph:
    """A session that runs batches of any size.

    Args:
        path: the ONNX file.
        device: where to run.

    Raises:
        DeviceError: see `Device.session`.
    """

    def __init__(self, path: Path, device: Device) -> None:
        self._session = device.session(path)
        self.provider: str = self._session.get_providers()[0]

    def __call__(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        """Inputs by name → the wanted outputs by name, row for row."""
        rows = len(next(iter(feeds.values())))
        # a GPU keeps memory for every size that it has seen: let these be few
        padded = 1 << (rows - 1).bit_length() if self.provider == CUDA else rows
        if padded > rows:
            feeds = {name: _padded(values, padded) for name, values in feeds.items()}
        outputs = self._session.run(list(wanted), feeds)
        return {name: output[:rows] for name, output in zip(wanted, outputs, strict=True)}


def _padded(values: np.ndarray, rows: int) -> np.ndarray:
    """Values with their first row repeated at the end, which no graph can fail on."""
    return np.concatenate([values, np.repeat(values[:1], rows - len(values), axis=0)])
