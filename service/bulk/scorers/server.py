"""Scores of rows by a running server, asked in parts by its client.

Rows are read here as a bundle's are, by the manifest that the server gives, and go as arrays: what
is wrong with a value is found before anything is sent. Rows of a detector that hold what the data
had not go by name: arrays have no room for an unknown class, nor for columns that are left out.
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

Named = Floats | list[dict[str, Any]]
"""Rows as arrays, or by name."""

Ask = Callable[[Named, Floats | None], Arrays]
"""Asks a server of rows and their context."""


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
        options: dict[str, Any] = {"timeout": None, "retries": RETRIES, "wait": LOADING_SECONDS}
        try:
            with Client(url, model, **options) as asker:
                self.manifest = manifest_of(asker.model())
        except (BijectaError, BundleError) as error:
            raise BulkError(f"{url}: {error}") from None
        # whatever a name or an alias comes to mean, all rows are scored by one version
        self._client = Client(url, self.manifest.name, self.manifest.version, **options)
        self._most = ROWS_PER_REQUEST
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
        return finished(shown, piece, rows, arrays)

    def close(self) -> None:
        """See `Scorer`."""
        self._client.close()

    def _answers(self, rows: ModelRows) -> Arrays:
        """What a server says of the rows that are kept."""
        context = rows.context
        if not self._is_detector:
            arrays = self._asked(rows.seen, context, self._log_prob)
        else:
            scored = self._scored(rows, np.arange(len(rows.seen)), self._scores)
            arrays = self._decision.arrays(scored["score"], scored["p_value"], scored["log_prob"])
            if self._decision.reasons is not None:
                places = np.flatnonzero(arrays["p_value"] <= self._decision.limit)
                found = self._scored(rows, places, self._reasons)["reasons"]
                arrays["reasons"] = reasons_column(places, found, len(rows.seen))

        rows.faults.check(np.isnan(arrays["log_prob"]), NonFiniteOutputError, too_far)
        return arrays

    def _scored(self, rows: ModelRows, places: NDArray[np.intp], ask: Ask) -> Arrays:
        """The answers to some rows: as arrays, or by name what arrays cannot say."""
        by_name = rows.are_unfamiliar[places]

        def asked(of: NDArray[np.intp], x: Named) -> Arrays:
            return self._asked(x, None if rows.context is None else rows.context[of], ask)

        familiar, others = places[~by_name], places[by_name]
        answers = asked(familiar, rows.seen[familiar])
        if not len(others):
            return answers
        named = asked(others, rows.records(others))
        whole: Arrays = {}
        for name, values in named.items():
            whole[name] = np.empty(len(places), values.dtype)
            whole[name][~by_name], whole[name][by_name] = answers[name], values
        return whole

    def _asked(self, x: Named, context: Floats | None, ask: Ask) -> Arrays:
        """The answers to rows in parts as large as the server takes."""
        parts: list[Arrays] = []
        start = 0
        while start < len(x) or not parts:
            part = slice(start, start + self._most)
            try:
                parts.append(ask(x[part], None if context is None else context[part]))
            except RefusedError as error:
                if error.status != TOO_LARGE or self._most == 1:
                    raise
                self._most = max(1, min(self._most, len(x) - start) // 2)
                continue
            start = part.stop
        return {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}

    def _log_prob(self, x: Named, context: Floats | None) -> Arrays:
        if not len(x):
            return {"log_prob": np.empty(0, self.manifest.dtype)}
        return {"log_prob": self._client.log_prob(x, context, failures=[])}

    def _scores(self, x: Named, context: Floats | None) -> Arrays:
        if not len(x):
            return {name: np.empty(0) for name in ("score", "p_value", "log_prob")}
        said = self._client.score(x, context, failures=[])
        return {"score": said.score, "p_value": said.p_value, "log_prob": said.log_prob}

    def _reasons(self, x: Named, context: Floats | None) -> Arrays:
        """The columns that raise the score of rows that may be anomalies."""
        found: NDArray[Any] = np.empty(len(x), object)
        if len(x):
            said = self._client.score(x, context, reasons=self._decision.reasons, failures=[])
            found[:] = said.reasons or [None] * len(x)
        return {"reasons": found}
