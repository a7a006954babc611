"""Detectors of anomalies: scores of rows of tables or arrays, from flows and nearest rows."""

from training.detectors.arrays.configurations import ARRAY_PARTS
from training.detectors.arrays.detector import ArrayDetector
from training.detectors.arrays.fit import fit_array_detector
from training.detectors.arrays.specification import ArrayDetectorSpec, ArrayPart
from training.detectors.configurations import COMBINATIONS, CONFIGURATIONS
from training.detectors.detector import Detector
from training.detectors.fit import MIN_ROWS, ContextRows, FittedDetector, fit_detector
from training.detectors.run import DetectorRecipe, DetectorRun, DetectorRunFile
from training.detectors.specification import AnyPart, Configuration, DetectorSpec

__all__ = [
    "ARRAY_PARTS",
    "COMBINATIONS",
    "CONFIGURATIONS",
    "MIN_ROWS",
    "AnyPart",
    "ArrayDetector",
    "ArrayDetectorSpec",
    "ArrayPart",
    "Configuration",
    "ContextRows",
    "Detector",
    "DetectorRecipe",
    "DetectorRun",
    "DetectorRunFile",
    "DetectorSpec",
    "FittedDetector",
    "fit_array_detector",
    "fit_detector",
]
