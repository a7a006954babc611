"""Training: the loop, the optimizer, the objectives and distributed processes."""

from training.fit.distributed import ALONE, Team
from training.fit.iterative import gaussianize
from training.fit.likelihood import start
from training.fit.loop import fit, fit_to
from training.fit.objective import Loss
from training.fit.tensorboard import board

__all__ = [
    "ALONE",
    "Loss",
    "Team",
    "board",
    "fit",
    "fit_to",
    "gaussianize",
    "start",
]
