"""Scoring of files of any size by a bundle, in constant memory."""

from service.bulk.pieces import BulkError
from service.bulk.pipeline import Job, Outcome, run
from service.bulk.ray_engine import by_ray
from service.bulk.scorers import BundleScorer, Decision, server_scorer
from service.bulk.sources import FORMATS, INPUT_FORMATS
from service.bulk.whole import WholeFile, score_whole

__all__ = [
    "FORMATS",
    "INPUT_FORMATS",
    "BulkError",
    "BundleScorer",
    "Decision",
    "Job",
    "Outcome",
    "WholeFile",
    "by_ray",
    "run",
    "score_whole",
    "server_scorer",
]
