"""Scores of rows by a running server, asked in parts by its client.

Rows are read here as a bundle's are, by the manifest that the server gives, and go as arrays: what
is wrong with a value is found before anything is sent.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from bijecta_client import BijectaError, Client, RefusedError, RowError
from service.bulk.pieces import BulkError, Piece
from service.bulk.scorers.base import Decision, Scored, finished
from service.bulk.scorers.rows import ModelRows, model_rows
from service.bundle import BundleError, DetectorManifest, manifest_of
from service.errors import NonFiniteOutputError, ServiceError
from service.operations import Fault
from service.types import Floats

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

    fdr: float | None = None

    def __init__(self, url: str, model: str | None, decision: Decision) -> None:
        self._client = Client(url, model, timeout=None, retries=RETRIES, wait=LOADING_SECONDS)
        self._most = ROWS_PER_REQUEST
        try:
            described = self._client.model()
            self.manifest = manifest_of(described)
        except (BijectaError, BundleError) as error:
            raise BulkError(f"{url}: {error}") from None
        name = f"{self.manifest.name} version {self.manifest.version}"
        if isinstance(self.manifest, DetectorManifest):
            raise BulkError(f"{name} is a detector: score files by its bundle")
        if decision != Decision():
            raise BulkError(f"{name} is no detector: --alpha, --fdr and --seed have no use")
        self.threads = REQUESTS
        self.schema = pa.schema([("log_prob", pa.from_numpy_dtype(np.dtype(self.manifest.dtype)))])
        self.identity: dict[str, Any] = {"url": url, "bundle": self.manifest.checksum}

    def score(self, number: int, shown: str, piece: Piece) -> Scored:
        """See `Scorer`."""
        try:
            rows = model_rows(self.manifest, piece.columns(), len(piece.numbers))
            log_prob = self._log_prob(rows)
        except ServiceError as error:
            raise BulkError(f"{shown}: {error}") from None
        except BijectaError as error:
            raise BulkError(f"{shown}, rows from {piece.numbers[0]} on: {error.detail}") from None
        return finished(shown, piece, rows.faults, {"log_prob": log_prob})

    def _log_prob(self, rows: ModelRows) -> Floats:
        """Log-density of each row that is kept, in nats; −inf outside the support."""
        log_prob = np.empty(len(rows.x), self.manifest.dtype)
        failures: list[RowError] = []
        start = 0
        while start < len(rows.x):
            part = slice(start, start + self._most)
            context = None if rows.context is None else rows.context[part]
            try:
                log_prob[part] = self._client.log_prob(
                    rows.x[part], context, failures=failures, version=self.manifest.version
                )
            except RefusedError as error:
                if error.status != TOO_LARGE or self._most == 1:
                    raise
                self._most = max(1, min(self._most, len(rows.x) - start) // 2)
                continue
            start = part.stop
        log_prob[rows.outside] = -np.inf

        def describe(_: int, row: int) -> Fault:
            return Fault(
                f"row {row} has no finite answer: it lies too far from anything this model has "
                "seen",
                {},
            )

        rows.faults.check(np.isnan(log_prob), NonFiniteOutputError, describe)
        return log_prob
