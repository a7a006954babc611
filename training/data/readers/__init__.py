"""Readers of files: a table of numbers from each format."""

from training.data.readers.base import Table, joined
from training.data.readers.registry import read

__all__ = ["Table", "joined", "read"]
