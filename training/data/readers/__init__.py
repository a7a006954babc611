"""Readers of files: a table of numbers from each format."""

from training.data.readers.base import Table, joined
from training.data.readers.raw import read_raw
from training.data.readers.registry import read
from training.data.readers.text import TextColumn

__all__ = ["Table", "TextColumn", "joined", "read", "read_raw"]
