"""Scores of rows by a running server, asked in parts by its client.

Rows are read here as a bundle's are, by the manifest that the server gives, and go as arrays: what
is wrong with a value is found before anything is sent.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bijecta_client import BijectaError, Client, RefusedError
from service.bulk.pieces import BulkError, Piece
from service.bulk.scorers.base import (
    Decision,
    Scored,
    finished,
    no_detector,
    reasons_column,
)
from service.bulk.scorers.rows import ModelRows, model_rows
from service.bundle import BundleError, DetectorManifest, manifest_of
from service.errors import NonFiniteOutputError, ServiceError
from service.operations import too_far
from service.types import Arrays, Floats

# Requests at a time. A server divides what each holds into batches, among its own threads.
REQUESTS = 4
ROWS_PER_REQUEST = 16_384
TOO_LARGE = 413

# How often a request is sent again to a server that is busy, with pauses of up to ten seconds.
RETRIES = 60
LOADING_SECONDS = 600.0


class ServerScorer:
    """Scores by the model of a server.

    Args:
        url: of the server.
        model: NAME or NAME@ALIAS; None for the server's default, or its only one.
        decision: of a detector.

    Raises:
        BulkError: the server cannot be asked, or not about this.
    """

    def __init__(self, url: str, model: str | None, decision: Decision) -> None:
        self._client = Client(url, model, timeout=None, retries=RETRIES, wait=LOADING_SECONDS)
        self._most = ROWS_PER_REQUEST
        try:
            described = self._client.model()
            self.manifest = manifest_of(described)
        except (BijectaError, BundleError) as error:
            raise BulkError(f"{url}: {error}") from None
        self._decision = decision
        self.fdr = decision.fdr
        self._is_detector = isinstance(self.manifest, DetectorManifest)
        if not self._is_detector:
            self.schema = no_detector(self.manifest, decision)
        elif decision.seed is not None:
            raise BulkError("--seed counts the rows of files: score them by the bundle")
        else:
            self.schema = decision.schema()
        self.threads = REQUESTS
        self.identity: dict[str, Any] = {
            "url": url,
            "bundle": self.manifest.checksum,
            "decision": asdict(decision),
        }

    def score(self, number: int, shown: str, piece: Piece) -> Scored:
        """See `Scorer`."""
        try:
            rows = model_rows(self.manifest, piece.columns(), len(piece.numbers))
            arrays = self._answers(rows)
        except ServiceError as error:
            raise BulkError(f"{shown}: {error}") from None
        except BijectaError as error:
            raise BulkError(f"{shown}, rows from {piece.numbers[0]} on: {error.detail}") from None
        return finished(shown, piece, rows.faults, arrays)

    def _answers(self, rows: ModelRows) -> Arrays:
        """What a server says of the rows that are kept."""
        if not self._is_detector:
            arrays = self._asked(rows, self._log_prob)
        else:
            scored = self._asked(rows, self._scores)
            arrays = self._decision.arrays(scored["score"], scored["p_value"], scored["log_prob"])
            if self._decision.reasons is not None:
                arrays["reasons"] = self._reasons(rows, arrays["p_value"])

        rows.faults.check(np.isnan(arrays["log_prob"]), NonFiniteOutputError, too_far)
        return arrays

    def _asked(self, rows: ModelRows, ask: Callable[[Floats, Floats | None], Arrays]) -> Arrays:
        """The answers to rows in parts as large as the server takes."""
        parts: list[Arrays] = []
        start = 0
        while start < len(rows.seen) or not parts:
            part = slice(start, start + self._most)
            try:
                context = None if rows.context is None else rows.context[part]
                parts.append(ask(rows.seen[part], context))
            except RefusedError as error:
                if error.status != TOO_LARGE or self._most == 1:
                    raise
                self._most = max(1, min(self._most, len(rows.seen) - start) // 2)
                continue
            start = part.stop
        return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}

    def _log_prob(self, x: Floats, context: Floats | None) -> Arrays:
        if not len(x):
            return {"log_prob": np.empty(0, self.manifest.dtype)}
        version = self.manifest.version
        return {"log_prob": self._client.log_prob(x, context, failures=[], version=version)}

    def _scores(self, x: Floats, context: Floats | None) -> Arrays:
        if not len(x):
            return {name: np.empty(0) for name in ("score", "p_value", "log_prob")}
        said = self._client.score(x, context, failures=[], version=self.manifest.version)
        return {"score": said.score, "p_value": said.p_value, "log_prob": said.log_prob}

    def _reasons(self, rows: ModelRows, p_value: Floats) -> NDArray[Any]:
        """The columns that raise the score of rows that may be anomalies."""
        places = np.flatnonzero(p_value <= self._decision.limit)
        found: list[Any] = []
        for start in range(0, len(places), self._most):
            part = places[start : start + self._most]
            said = self._client.score(
                rows.seen[part],
                None if rows.context is None else rows.context[part],
                reasons=self._decision.reasons,
                failures=[],
                version=self.manifest.version,
            )
            found += said.reasons or []
        return reasons_column(places, found, len(p_value))
