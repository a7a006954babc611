"""Watching the rows that models are asked about: histograms, and tests of drift."""

from service.watching.watch import Watch
from service.watching.watching import Watching

__all__ = ["Watch", "Watching"]
