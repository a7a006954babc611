"""What gives scores to rows of files: a bundle in this process, or a server."""

from service.bulk.pieces import BulkError
from service.bulk.scorers.base import Decision, Scored, Scorer
from service.bulk.scorers.bundle import BundleScorer
from service.bulk.scorers.rows import column_choice, model_rows


def server_scorer(url: str, model: str | None, decision: Decision) -> Scorer:
    """A `ServerScorer`, where the client is installed.

    Raises:
        BulkError: it is not, or the server cannot be asked.
    """
    try:
        from service.bulk.scorers.server import ServerScorer
    except ModuleNotFoundError:
        raise BulkError("a server is asked by its client: pip install ./service/client") from None
    return ServerScorer(url, model, decision)


__all__ = [
    "BundleScorer",
    "Decision",
    "Scored",
    "Scorer",
    "column_choice",
    "model_rows",
    "server_scorer",
]
