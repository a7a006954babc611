"""Readers of files: a table of numbers from each format."""

from training.data.readers.base import Part, Table, joined, place
from training.data.readers.raw import read_raw
from training.data.readers.registry import has_columns, read
from training.data.readers.text import TextColumn

__all__ = ["Part", "Table", "TextColumn", "has_columns", "joined", "place", "read", "read_raw"]
