"""Distillation: a student that draws in one pass learns the density of a teacher."""

from training.distill.choice import with_losses
from training.distill.fidelity import measure_fidelity, measured_fidelity
from training.distill.objective import Distillation

__all__ = [
    "Distillation",
    "measure_fidelity",
    "measured_fidelity",
    "with_losses",
]
