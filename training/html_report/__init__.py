"""`bijecta report`: a page on a run or on a bundle. Of a bundle it needs no torch."""

from training.html_report.command import report

__all__ = ["report"]
