"""Data sets: rows read from their source, checked, divided and prepared."""

from training.data.arrays import WholeArrays, whole_arrays
from training.data.checks import rows_at_once
from training.data.context import Context, Float32
from training.data.dataset import AnyDataset, Dataset, Split, TypedDataset
from training.data.division import divide
from training.data.load import load_dataset
from training.data.protocols import PROTOCOLS
from training.data.readers import read_raw
from training.data.toy import DENSITIES
from training.data.typed import WholeTable, load_rows, load_typed, whole_table

__all__ = [
    "DENSITIES",
    "PROTOCOLS",
    "AnyDataset",
    "Context",
    "Dataset",
    "Float32",
    "Split",
    "TypedDataset",
    "WholeArrays",
    "WholeTable",
    "divide",
    "load_dataset",
    "load_rows",
    "load_typed",
    "read_raw",
    "rows_at_once",
    "whole_arrays",
    "whole_table",
]
