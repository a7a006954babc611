"""Export of an ensemble: the mixture of the flows of several runs as one bundle."""

from training.export.ensemble.bundle import Ensemble, export_ensemble

__all__ = ["Ensemble", "export_ensemble"]
