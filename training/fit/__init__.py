"""Training: the loop, the optimizer, the objectives and distributed processes."""

from training.fit.distributed import SINGLE_PROCESS, Processes, device_named
from training.fit.fixed_steps import (
    NoiseLevels,
    fit_noise_conditional,
    fit_steps,
    gaussianize_rows,
)
from training.fit.gradient import fit, fit_to
from training.fit.iterative import gaussianize
from training.fit.likelihood import initialize_from_data
from training.fit.loop import Bar
from training.fit.objective import Loss
from training.fit.precision import why_float32
from training.fit.tensorboard import tensorboard_writer

__all__ = [
    "SINGLE_PROCESS",
    "Bar",
    "Loss",
    "NoiseLevels",
    "Processes",
    "device_named",
    "fit",
    "fit_noise_conditional",
    "fit_steps",
    "fit_to",
    "gaussianize",
    "gaussianize_rows",
    "initialize_from_data",
    "tensorboard_writer",
    "why_float32",
]
