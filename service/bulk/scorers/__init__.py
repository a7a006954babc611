"""What gives scores to rows of files: a bundle in this process, or a server."""

from service.bulk.scorers.base import Decision, Scored, Scorer
from service.bulk.scorers.bundle import BundleScorer
from service.bulk.scorers.rows import chosen_columns, model_rows

__all__ = ["BundleScorer", "Decision", "Scored", "Scorer", "chosen_columns", "model_rows"]
