"""Scores of rows by the graphs of a bundle, in batches that are the same in every run.

A row's score may depend on its batch in the last digit, so batches begin where pieces do and have
a fixed size: a run that was killed goes on to the same file.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.bulk.pieces import BulkError, Piece
from service.bulk.scorers.base import (
    Decision,
    Scored,
    finished,
    no_detector,
    reasons_column,
)
from service.bulk.scorers.rows import ModelRows, model_rows
from service.bundle import BundleError, place
from service.conformal import tie_breakers
from service.engine import Engine
from service.errors import ServiceError
from service.metrics import Metrics
from service.operations import (
    CheckedRuns,
    ReasonedRows,
    bounded_log_prob,
    check_scores,
    classes_of,
    no_calibration,
    no_neighbours,
    reasons_of,
)
from service.runtime import Cancellation, Device, DeviceError, granted_cpus
from service.settings import ModelSettings
from service.store import Loader, Model
from service.types import Arrays, Float64, Floats
from service.work_threads import WorkThreads

# Rows of a batch. Microseconds of a core a row, of 64, 256, 1024, 4096 and 16384 rows: MAF on 20
# columns 4.4, 4.1, 3.6, 4.0, 5.8; on 64 columns 17.2, 15.6, 14.3, 17.0, 16.7; a table of 14
# columns 87, 54, 36, 37, 36. A server takes fewer, so that others need not wait for long.
CPU_BATCH_ROWS = 1024
CUDA_BATCH_ROWS = 16384


class BundleScorer:
    """Scores by a bundle, in this process.

    Args:
        folder: store/<name>/<version>.
        device: as of `bijecta serve`.
        decision: of a detector; None where no p-values are asked for (`raw`).

    Raises:
        BulkError: the bundle cannot be loaded, or not answer so, or the device not be used.
    """

    def __init__(self, folder: Path, device: str, decision: Decision | None) -> None:
        metrics = Metrics()
        try:
            chosen = Device.choose(device)
            is_cpu = chosen.kind == "cpu"
            settings = ModelSettings(batch_rows=CPU_BATCH_ROWS if is_cpu else CUDA_BATCH_ROWS)
            loader = Loader(chosen, lambda _: settings, metrics)
            self._model: Model = loader.load(folder, Cancellation())
        except (BundleError, DeviceError) as error:
            raise BulkError(str(error)) from None
        except Exception as error:  # of onnxruntime, which has no class of its own for each
            raise BulkError(f"{place(folder)} cannot be loaded: {error}") from None
        self.manifest = self._model.manifest
        self.threads = chosen.threads if is_cpu else granted_cpus()
        self._decision = decision or Decision()
        self.fdr = self._decision.fdr
        try:
            self.schema = None if decision is None else self._schema()
        except BulkError:
            self._model.engine.close()
            raise
        self._graph = "encode" if self._model.detector is None else "score"
        graphs = [self._graph]
        if self._decision.reasons is not None:
            graphs.append("neighbours")
        # a row of one graph may take a hundred times the memory of a row of another
        self._batch_rows = {graph: self._model.engine.batch_rows(graph) for graph in graphs}
        self._threads = WorkThreads(1)
        self._runs = CheckedRuns(2**62, metrics, self._threads)
        self._turns = BoundedSemaphore(chosen.runs(None))
        self.identity = {
            "bundle": self.manifest.checksum,
            "device": self._model.engine.provider,
            "batch_rows": self._batch_rows,
            "decision": asdict(self._decision),
        }

    def _schema(self) -> Any:
        """What a row gets.

        Raises:
            BulkError: a decision that this bundle cannot take.
        """
        detector, decision = self._model.detector, self._decision
        if detector is None:
            return no_detector(self.manifest, decision)
        schema = decision.schema()
        if self._model.calibration is None:
            raise BulkError(no_calibration(detector))
        if decision.reasons is not None and not detector.neighbours:
            raise BulkError(no_neighbours(detector))
        return schema

    def score(self, number: int, shown: str, piece: Piece) -> Scored:
        """See `Scorer`."""
        try:
            rows = model_rows(self.manifest, piece.columns(), len(piece.numbers))
            if self._model.detector is None:
                arrays = self._log_prob(rows)
            else:
                arrays = self._scores(rows, self._ties(number, piece, rows))
        except ServiceError as error:
            raise BulkError(f"{shown}: {error}") from None
        return finished(shown, piece, rows, arrays)

    def raw(self, shown: str, piece: Piece) -> tuple[ModelRows, Arrays]:
        """The rows of a piece, and what the graphs say of them: log_prob, of detectors score too.

        Raises:
            BulkError: a row has no answer.
        """
        try:
            rows = model_rows(self.manifest, piece.columns(), len(piece.numbers))
            arrays = self._log_prob(rows) if self._model.detector is None else self._score(rows)
        except ServiceError as error:
            raise BulkError(f"{shown}: {error}") from None
        if skipped := finished(shown, piece, rows, arrays).skipped:
            raise BulkError(str(skipped[0]))
        return rows, arrays

    def close(self) -> None:
        """See `Scorer`."""
        self._model.engine.close()
        self._threads.close()

    def _log_prob(self, rows: ModelRows) -> Arrays:
        """Log-density of each row that is kept, in nats; −inf outside the support."""
        model = self._model
        # latents say which rows a bounded base has no density for
        encoded = self._run(rows, ("log_prob",) if model.base_box is None else ("log_prob", "z"))
        if model.table is not None:
            log_prob = np.where(rows.outside, -np.inf, encoded["log_prob"])
        elif model.is_bounded:
            log_prob = bounded_log_prob(model, rows.x, encoded)
        else:
            log_prob = encoded["log_prob"]
        self._runs.check_log_prob(model, log_prob, 1, rows.faults)
        return {"log_prob": log_prob}

    def _score(self, rows: ModelRows) -> Arrays:
        """What the graph of a detector says; a row outside the support has the largest score."""
        scored = self._run(rows, ("score", "log_prob"))
        score = np.where(rows.outside, np.inf, scored["score"])
        log_prob = np.where(rows.outside, -np.inf, scored["log_prob"])
        arrays = {"score": score, "log_prob": log_prob}
        check_scores(self._runs, self._model, arrays, rows.outside, rows.faults)
        return arrays | {"of_seen": scored["score"]}

    def _scores(self, rows: ModelRows, ties: Float64 | None) -> Arrays:
        """What a detector answers."""
        model = self._model
        assert model.calibration is not None
        scored = self._score(rows)
        score = scored["score"]
        p_value = model.calibration.p_values(score, ties, classes_of(model, rows.context))
        arrays = self._decision.arrays(score, p_value, scored["log_prob"])
        if self._decision.reasons is not None:
            arrays["reasons"] = self._reasons(rows, scored["of_seen"], p_value)
        return arrays

    def _reasons(self, rows: ModelRows, score: Float64, p_value: Float64) -> NDArray[Any]:
        """The columns that raise the score of rows that may be anomalies."""
        assert self._decision.reasons is not None
        places = np.flatnonzero(p_value <= self._decision.limit)
        context = None if rows.context is None else rows.context[places]
        chosen = ReasonedRows(
            rows.x[places],
            np.asarray(rows.seen[places], np.float64),
            rows.impossible[places],
            context,
            score[places],
            rows.numbers[places],
            rows.unfamiliar,
        )
        asked = replace(self._model, engine=cast(Engine, _Batches(self._run_graph)))
        most = self._decision.reasons
        found = asyncio.run(reasons_of(self._runs, asked, chosen, most, math.inf))
        return reasons_column(places, found, len(p_value))

    def _ties(self, number: int, piece: Piece, rows: ModelRows) -> Float64 | None:
        """A draw for each row that is kept, by the numbers of the row and of its file."""
        if self._decision.seed is None:
            return None
        first, last = int(piece.numbers[0]), int(piece.numbers[-1])
        seed = (self._decision.seed + number) % 2**64
        drawn = tie_breakers(seed, last - first + 1, first)
        return np.asarray(rows.faults.kept(drawn[piece.numbers - first]))

    def _run(self, rows: ModelRows, outputs: tuple[str, ...]) -> Arrays:
        """Outputs of the graph that scores."""
        return self._run_graph(self._graph, rows.x, rows.context, outputs)

    def _run_graph(
        self, graph: str, x: Floats, context: Floats | None, outputs: tuple[str, ...]
    ) -> Arrays:
        """Outputs of a graph, batch by batch."""
        feeds: Arrays = {"x": x}
        if context is not None:
            feeds["context"] = np.ascontiguousarray(context)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in outputs}
        at_once = self._batch_rows[graph]
        with self._turns:
            for start in range(0, len(x), at_once):
                part = {name: values[start : start + at_once] for name, values in feeds.items()}
                if self._model.table is not None:
                    part["u"] = np.full(part["x"].shape, 0.5)
                answer = self._model.engine.try_run(graph, part, outputs)
                for name in outputs:
                    parts[name].append(answer[name])
        shapes = {"z": tuple(self.manifest.latent_shape)}
        return {
            name: np.concatenate(each)
            if each
            else np.empty((0, *shapes.get(name, ())), self.manifest.dtype)
            for name, each in parts.items()
        }


class _Batches:
    """The engine of a detector, as far as reasons ask it: in batches that are always the same."""

    def __init__(self, run: Callable[..., Arrays]) -> None:
        self._run = run

    async def score(
        self, x: Floats, context: Floats | None, outputs: tuple[str, ...], _: float
    ) -> Arrays:
        """See `Engine`."""
        return self._run("score", x, context, outputs)

    async def neighbours(self, x: Floats, context: Floats | None, _: float) -> Arrays:
        """See `Engine`."""
        return self._run("neighbours", x, context, ("values",))

    def close(self) -> None:
        """See `Engine`: it is not this one's to close."""
