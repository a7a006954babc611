"""Scores of rows by the graphs of a bundle, in batches that are the same in every run.

A row's score may depend on its batch in the last digit, so batches begin where pieces do and have
a fixed size: a run that was killed goes on to the same file.
"""

from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.bulk.pieces import BulkError, Piece, Skipped
from service.bulk.rows import ModelRows, model_rows
from service.bundle import AnyManifest, BundleError, place
from service.errors import ServiceError
from service.metrics import Metrics
from service.operations import CheckedRuns, RowFaults, bounded_log_prob
from service.runtime import Cancellation, Device, DeviceError, granted_cpus
from service.settings import ModelSettings
from service.store import Loader, Model
from service.types import Arrays
from service.work_threads import WorkThreads

# Rows of a batch. Microseconds of a core a row, of 64, 256, 1024, 4096 and 16384 rows: MAF on 20
# columns 4.4, 4.1, 3.6, 4.0, 5.8; on 64 columns 17.2, 15.6, 14.3, 17.0, 16.7; a table of 14
# columns 87, 54, 36, 37, 36. A server takes fewer, so that others need not wait for long.
CPU_BATCH_ROWS = 1024
CUDA_BATCH_ROWS = 16384


@dataclass
class Scored:
    """What a piece came to.

    Args:
        arrays: by name, of the rows that have an answer.
        sound: of all rows of the piece, whether they have one.
        skipped: those that have none.
    """

    arrays: Arrays
    sound: NDArray[np.bool_]
    skipped: list[Skipped]


class Scorer(Protocol):
    """Gives scores to rows, in any thread.

    Attributes:
        manifest: of the model.
        schema: a `pyarrow.Schema` of what a row gets.
        threads: pieces that it works on at a time.
        identity: what tells its scores from those of another, for a run to be resumed.
    """

    manifest: AnyManifest
    schema: Any
    threads: int
    identity: dict[str, Any]

    def score(self, shown: str, piece: Piece) -> Scored:
        """The scores of a piece of a file.

        Raises:
            BulkError: there are none, whatever the rows are.
        """
        ...


class BundleScorer:
    """Scores by a bundle, in this process.

    Args:
        folder: store/<name>/<version>.
        device: as of `bijecta serve`.

    Raises:
        BulkError: the bundle cannot be loaded, or the device not be used.
    """

    def __init__(self, folder: Path, device: str) -> None:
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
        self.schema = pa.schema([("log_prob", pa.from_numpy_dtype(np.dtype(self.manifest.dtype)))])
        self._rows = self._model.engine.batch_rows("encode")
        self._runs = CheckedRuns(2**62, metrics, WorkThreads(1))
        self._turns = BoundedSemaphore(chosen.runs(None))
        self.identity = {
            "bundle": self.manifest.checksum,
            "device": self._model.engine.provider,
            "batch_rows": self._rows,
        }

    def score(self, shown: str, piece: Piece) -> Scored:
        """See `Scorer`."""
        count = len(piece.numbers)
        if not count:
            return Scored({}, np.zeros(0, bool), [])
        try:
            rows = model_rows(self.manifest, piece.columns(), count)
            arrays = self._log_prob(rows)
        except ServiceError as error:
            raise BulkError(f"{shown}: {error}") from None
        return finished(shown, piece, rows.faults, arrays)

    def _log_prob(self, rows: ModelRows) -> Arrays:
        """Log-density of each row that is kept, in nats; −inf outside the support."""
        model = self._model
        # latents say which rows a bounded base has no density for
        outputs = ("log_prob",) if model.base_box is None else ("log_prob", "z")
        encoded = self._run(rows, outputs)
        if model.table is not None:
            log_prob = np.where(rows.outside, -np.inf, encoded["log_prob"])
        elif model.is_bounded:
            log_prob = bounded_log_prob(model, rows.x, encoded)
        else:
            log_prob = encoded["log_prob"]
        self._runs.check_log_prob(model, log_prob, 1, rows.faults)
        return {"log_prob": log_prob}

    def _run(self, rows: ModelRows, outputs: tuple[str, ...]) -> Arrays:
        """Outputs of the graph, batch by batch."""
        feeds: Arrays = {"x": rows.x}
        if rows.context is not None:
            feeds["context"] = np.ascontiguousarray(rows.context)
        parts: dict[str, list[NDArray[Any]]] = {name: [] for name in outputs}
        with self._turns:
            for start in range(0, len(rows.x), self._rows):
                part = {name: values[start : start + self._rows] for name, values in feeds.items()}
                if self._model.table is not None:
                    part["u"] = np.full(part["x"].shape, 0.5)
                answer = self._model.engine.try_run("encode", part, outputs)
                for name in outputs:
                    parts[name].append(answer[name])
        empty = {"log_prob": (), "z": self._model.latent_shape}
        return {
            name: np.concatenate(each) if each else np.empty((0, *empty[name]), self.manifest.dtype)
            for name, each in parts.items()
        }


def finished(shown: str, piece: Piece, faults: RowFaults, arrays: Arrays) -> Scored:
    """The answer of a piece, without the rows that have none.

    Args:
        shown: the name of its file.
        piece: which was scored.
        faults: of its rows.
        arrays: of the rows that are kept, of which some may have turned out to have no answer.
    """
    places = np.arange(len(piece.numbers))
    sound = faults.are_sound(places)
    if sound is None:
        return Scored(arrays, np.ones(len(places), bool), [])
    answered = sound[faults.kept(places)]
    skipped = []
    for error in faults.errors:
        row = int(piece.numbers[error.row])
        line = None if piece.lines is None else int(piece.lines[error.row])
        # rows of requests are counted from the first of the request
        detail = error.detail.removeprefix(f"row {error.row}, column {error.column!r}: ")
        detail = detail.replace(f"row {error.row}", f"row {row}", 1)
        column = error.column if isinstance(error.column, str | int) else None
        skipped.append(Skipped(shown, detail, row, 1, line, column))
    return Scored({name: values[answered] for name, values in arrays.items()}, sound, skipped)
