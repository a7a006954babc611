"""Detectors of anomalies: scores of rows of typed tables, from flows and nearest rows."""

from training.detectors.configurations import COMBINATIONS, CONFIGURATIONS
from training.detectors.detector import Detector
from training.detectors.fit import MIN_ROWS, ContextRows, FittedDetector, fit_detector
from training.detectors.run import DetectorRecipe, DetectorRun, DetectorRunFile
from training.detectors.specification import AnyPart, Configuration, DetectorSpec

__all__ = [
    "COMBINATIONS",
    "CONFIGURATIONS",
    "MIN_ROWS",
    "AnyPart",
    "Configuration",
    "ContextRows",
    "Detector",
    "DetectorRecipe",
    "DetectorRun",
    "DetectorRunFile",
    "DetectorSpec",
    "FittedDetector",
    "fit_detector",
]
