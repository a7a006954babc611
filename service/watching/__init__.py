"""Watching the rows that models are asked about: histograms, and tests of drift."""

from service.watching.streams import of_all_streams
from service.watching.watch import Watch
from service.watching.watching import Watching

__all__ = ["Watch", "Watching", "of_all_streams"]
