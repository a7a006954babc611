"""Data sets: rows read from their source, checked, divided and prepared."""

from training.data.context import Float32
from training.data.dataset import Dataset, Split
from training.data.division import divide
from training.data.load import load_dataset
from training.data.protocols import PROTOCOLS
from training.data.readers import read_raw
from training.data.toy import DENSITIES

__all__ = [
    "DENSITIES",
    "PROTOCOLS",
    "Dataset",
    "Float32",
    "Split",
    "divide",
    "load_dataset",
    "read_raw",
]
