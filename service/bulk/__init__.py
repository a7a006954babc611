"""Scoring of files of any size by a bundle, in constant memory."""

from service.bulk.pieces import BulkError
from service.bulk.pipeline import Job, Outcome, run
from service.bulk.ray_engine import by_ray
from service.bulk.scorers import BundleScorer, Decision, server_scorer
from service.bulk.sources import FORMATS

__all__ = [
    "FORMATS",
    "BulkError",
    "BundleScorer",
    "Decision",
    "Job",
    "Outcome",
    "by_ray",
    "run",
    "server_scorer",
]
