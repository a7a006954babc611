"""Scoring of files of any size by a bundle, in constant memory."""

from service.bulk.inputs import FORMATS
from service.bulk.pieces import BulkError
from service.bulk.pipeline import Job, Outcome, run
from service.bulk.scoring import BundleScorer

__all__ = ["FORMATS", "BulkError", "BundleScorer", "Job", "Outcome", "run"]
