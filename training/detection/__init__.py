"""From a table to a calibrated detector of anomalies: what `bijecta fit-detector` does."""

from training.detection.command import fit_detector

__all__ = ["fit_detector"]
