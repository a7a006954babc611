"""Sweeps of exported graphs: how many rows need, and what they start from."""

from training.export.sweeps.counts import measured_sweeps
from training.export.sweeps.student_guess import StudentGuess, check_student, learned_start

__all__ = ["StudentGuess", "check_student", "learned_start", "measured_sweeps"]
