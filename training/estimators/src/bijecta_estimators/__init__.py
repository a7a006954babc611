"""Detectors of anomalies with the interfaces of scikit-learn and of PyOD."""

from bijecta_estimators.flow_detector import FlowDetector
from bijecta_estimators.pyod_interface import PyODFlowDetector

__all__ = ["FlowDetector", "PyODFlowDetector"]
