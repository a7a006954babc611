"""The kinds of plots, in the order in which they are made."""

from training.plots.detectors.scores import SCORES
from training.plots.kind import Kind
from training.plots.pictures.interpolation import INTERPOLATION
from training.plots.pictures.reconstruction import RECONSTRUCTION
from training.plots.pictures.samples import SAMPLES
from training.plots.pictures.temperature import TEMPERATURE
from training.plots.points.density import DENSITY
from training.plots.points.layers import LAYERS
from training.plots.sounds.spectrograms import SPECTROGRAMS
from training.plots.sounds.waveforms import WAVEFORMS
from training.plots.tables.coverage import COVERAGE
from training.plots.tables.latents import LATENTS
from training.plots.tables.pairs import PAIRS
from training.plots.tables.pit import PIT
from training.plots.trainings.student import STUDENT
from training.plots.trainings.training import TRAINING

KINDS: tuple[Kind, ...] = (
    LAYERS,
    DENSITY,
    SAMPLES,
    INTERPOLATION,
    RECONSTRUCTION,
    TEMPERATURE,
    PAIRS,
    LATENTS,
    PIT,
    COVERAGE,
    SCORES,
    WAVEFORMS,
    SPECTROGRAMS,
    TRAINING,
    STUDENT,
)
