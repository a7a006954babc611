"""Plots of a run or of a bundle. Of a bundle they need matplotlib and Pillow, and no torch."""

from training.plots.command import open_subject, plot, write
from training.plots.kind import Kind, Moving
from training.plots.registry import KINDS
from training.plots.style import styled
from training.plots.subject import Subject
from training.plots.writing import still

__all__ = [
    "KINDS",
    "Kind",
    "Moving",
    "Subject",
    "open_subject",
    "plot",
    "still",
    "styled",
    "write",
]
